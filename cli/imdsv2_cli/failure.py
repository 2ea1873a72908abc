"""How a command ends: the exit codes, and failures that are told in one line."""

from __future__ import annotations

from difflib import get_close_matches
from enum import IntEnum
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable


class Exit(IntEnum):
    """The exit codes, which scripts may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOTHING = 3


MEANINGS = {
    Exit.DONE: "done; an empty answer to a question is done, too",
    Exit.FAILED: "failed, wholly or for some: an error of AWS, of the service or of this computer; standard error says what, why and what "
    "to do, the answer what it concerns; also a fault that `doctor` found, and what `selftest` contradicted",
    Exit.USAGE: "the command line was wrong: an unknown option, value, instance or account, or no `--yes` where nobody can be asked; nothing "
    "was changed",
    Exit.NOTHING: "nothing to do, or refused: by a gate, by the evidence, or by whoever was asked; nothing was changed",
}


class Failure(click.ClickException):
    """What failed, why, and what to do, on one line.

    Args:
        what: what failed, without a full stop, e.g. "the stack Imdsv2Remediation was not found".
        why: the cause, if there is one to tell.
        todo: what the reader can do.
        code: how the command ends.
    """

    def __init__(self, what: str, why: str = "", todo: str = "", *, code: Exit = Exit.FAILED) -> None:
        because = f": {why.rstrip('.')}" if why else ""
        advice = f"; {todo}" if todo else ""
        sentence = f"{what.rstrip('.')}{because}{advice}"
        super().__init__(sentence if sentence.endswith((".", "?")) else f"{sentence}.")
        self.code = code


def nearest(given: str, known: Iterable[str]) -> str:
    """The question "did you mean ...?" about the nearest of some names; empty if none is like it."""
    likely = get_close_matches(given, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {likely[0]}?" if likely else ""


def usage(what: str, why: str = "", todo: str = "") -> Failure:
    """The failure of a command line that names what does not exist or does not fit."""
    return Failure(what, why, todo, code=Exit.USAGE)
