"""What was asked for and is not in the fleet, with what was probably meant: an empty answer must not hide a slip of the finger."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from imdsv2_cli.output import note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2_cli.base import App

_COMPARED = 20_000
"""Among so many values a similar one is looked for; comparing more takes seconds."""


def note_strangers(app: App, account: str | None, region: str | None, instance: str | None) -> None:
    """Say what of these the last sweep saw no instance in; nothing where nobody knows, or where the caller may not read it."""
    from botocore.exceptions import ClientError

    from imdsv2_cli.failure import Failure
    from imdsv2_cli.fleet import file

    if instance is not None:
        note(f"Whether {instance} is in the fleet is told by: imdsv2 list --instance {instance}")
        return
    if account is None and region is None:
        return
    try:
        places = file.places(app)
    except (ClientError, Failure):
        return
    if places is None:
        return
    for given, known in ((account, {each for each, _ in places}), (region, {each for _, each in places})):
        if given is not None and given not in known:
            note_stranger("in", given, known)


def note_stranger(where: str, given: str, known: Iterable[str]) -> None:
    """Say that no instance has this value, and name the like one. ``where``: how the value belongs to it, e.g. "in" or "called"."""
    alike = {each.lower(): each for each in sorted(known)[:_COMPARED]}
    likely = get_close_matches(given.lower(), alike, n=1, cutoff=0.5)
    note(f"No instance is {where} {given[:80]}{f'; did you mean {alike[likely[0]]}?' if likely else '.'}")
