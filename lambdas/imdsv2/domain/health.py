"""What becomes of an instance after its tokens were required: a pure function from the signs it gives to its health.

CloudWatch counts refused IMDSv1 calls (`MetadataNoTokenRejected`) and may publish nothing where there are none, so
silence is health only while the instance demonstrably ran.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LONGEST_LIFE = timedelta(days=7)
"""How long an instance may live without its health being proved, before people are told so."""

_SETTLING = timedelta(hours=6)
LATE = timedelta(minutes=15)
"""How long after it happened CloudWatch may come to show a call."""


class Health(StrEnum):
    """What the watch says at present."""

    WATCHED = "watched"
    CLEAN = "clean"
    BROKEN = "broken"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What CloudWatch says of an instance since its watch began.

    ``alive_hours``: whole hours in which it demonstrably ran. ``problem`` is set where an answer was not complete; what
    was counted is then a lower bound.
    """

    rejected_calls: int = 0
    last_rejected_call: datetime | None = None
    alive_hours: int = 0
    problem: str | None = None


def alive_hours_needed(hours: int, min_coverage: float) -> int:
    """Hours in which the instance must have run for a watch of so many hours to mean something."""
    return max(1, math.ceil(round(hours * min_coverage, 9)))


def judge(
    signs: Signs,
    *,
    since: datetime,
    hours: int,
    running_since: datetime | None,
    threshold: int,
    min_coverage: float,
    now: datetime,
) -> Health:
    """Judge one watch.

    Args:
        signs: what was counted from ``since`` to ``now``.
        since: when the watch began.
        hours: how long it has to stay clean.
        running_since: the last start, None while it does not run.
        threshold: rejected calls that count as breakage.
        min_coverage: share of the hours of the watch in which it must demonstrably have run.
        now: the time of the judgement, aware.
    """
    if signs.rejected_calls >= threshold:
        return Health.BROKEN
    watched_for = now - since
    if (
        signs.problem is None
        and watched_for >= timedelta(hours=hours) + LATE
        and signs.alive_hours >= alive_hours_needed(hours, min_coverage)
    ):
        return Health.CLEAN
    lived = timedelta(hours=signs.alive_hours)
    if running_since is not None:
        lived = max(lived, now - max(since, running_since))
    if lived >= max(LONGEST_LIFE, timedelta(hours=hours) + _SETTLING):
        return Health.UNPROVEN
    return Health.WATCHED
