"""What the sweep leaves to people although it may be changed: what a person undid, or went back on, and what has failed of late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.source_fix import STANDS, FixStatus
from imdsv2.source.effect import OPTIONAL
from imdsv2.source.fixing import steps_of
from imdsv2.source.remedy import open_templates

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.source_fix import SourceFix
    from imdsv2.fix.survey import Seen

_BETWEEN_ATTEMPTS = timedelta(days=7)
"""What failed once makes no version each night."""


def left_to_people(seen: Seen, known: SourceFix, now: datetime) -> str | None:
    """Why the sweep leaves a source alone that may be changed; None if it does not. ``known``: what the service did to it before."""
    how = _how_to_ask(seen)
    if known.undone_by is not None:
        return f"{known.undone_by} had it put back. {how}"
    if known.status in {*STANDS, FixStatus.LEFT} and (went_back := _went_back(seen, known)) is not None:
        return f"{went_back} {how}"
    fails = known.status is FixStatus.FAILED or (known.status is FixStatus.GONE_BACK and known.broken_by is None)
    if fails and known.at is not None and now - known.at < _BETWEEN_ATTEMPTS:
        return f"{known.explanation} It is tried again after {known.at + _BETWEEN_ATTEMPTS:%Y-%m-%d}. {how}"
    return None


def _went_back(seen: Seen, known: SourceFix) -> str | None:
    """How somebody has allowed IMDSv1 again since the service changed it. A newer version that says nothing of tokens is no answer to
    the change: whoever builds versions from a file makes such ones all the time."""
    made = {template: max(numbers) for template, numbers in known.made.items()}
    for each in steps_of(seen.source):
        if each.base < made.get(each.template, 0):
            return f"Somebody went back to version {each.base} of launch template {each.name} since the service changed it."
    for launch in open_templates(seen.source):
        version, last = launch.version, made.get(launch.version.template)
        if (
            known.stands
            and last is not None
            and version.number > last
            and version.options.get("HttpTokens") == OPTIONAL
        ):
            return (
                f"Somebody made version {version.number} of launch template {launch.template.name} with HttpTokens=optional since the "
                "service changed it, which the service does not fight."
            )
    return None


def _how_to_ask(seen: Seen) -> str:
    """How a person has it changed, the command line first: sources are named by an instance, and by no key."""
    one = [*seen.source.running, *seen.source.instances][0].arn
    return (
        f"To have it changed now: imdsv2 sources --fix {one}, or without the command line, ask the manual function for that instance "
        'under sources, with "fix": true.'
    )
