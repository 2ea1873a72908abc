"""Commands in texts as lines that work when pasted into a shell: the command line's form, and the manual function's."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from imdsv2.domain.commands import commands_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPTIONS = ("account", "region", "cohort", "since")
_FIELDS = ("owner", "reason", "until", "at")


def lines_to_paste(text: str, function: str) -> list[str]:
    """For each command in a text, in its order and once: ``imdsv2 ...``, then the call of the function that does the same."""
    found = dict.fromkeys(text[begin:end] for begin, end in commands_in(text))
    return [line for payload in found for line in _both(payload, function)]


def _both(payload: str, function: str) -> Iterator[str]:
    yield _in_cli(json.loads(payload))
    yield (
        f"aws lambda invoke --function-name {function} --cli-read-timeout 0 --cli-binary-format raw-in-base64-out "
        f"--payload '{payload}' /dev/stdout"
    )


def _in_cli(command: Mapping[str, Any]) -> str:
    name = next(iter(command))
    scope: Mapping[str, Any] = command[name]
    words = ["imdsv2", name.replace("_", "-"), *map(str, scope.get("targets", ()))]
    for option, value in [(each, scope.get(each)) for each in _OPTIONS] + [
        (each, command.get(each)) for each in _FIELDS
    ]:
        if value is not None:
            words += [f"--{option}" if option != "region" else "--in-region", str(value)]
    return shlex.join(words)
