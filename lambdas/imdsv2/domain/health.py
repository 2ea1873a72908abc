"""Health after enforcement: a pure function from an instance's signs of life and rejected calls to its health.

CloudWatch counts rejected IMDSv1 calls (`MetadataNoTokenRejected`) and may publish no datapoint if there are none.
Silence therefore counts as health only while the instance provably ran.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LONGEST_LIFE = timedelta(days=7)
"""How long an instance may run without proof of health before people are notified."""

_SETTLING = timedelta(hours=6)
LATE = timedelta(minutes=15)
"""How late CloudWatch may show a call."""


class Health(StrEnum):
    """The result of a watch so far."""

    WATCHED = "watched"
    CLEAN = "clean"
    BROKEN = "broken"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """CloudWatch's data about an instance since its watch began.

    ``alive_hours``: whole hours in which the instance provably ran. If ``problem`` is set, the data is incomplete and
    the counts are lower bounds.
    """

    rejected_calls: int = 0
    last_rejected_call: datetime | None = None
    alive_hours: int = 0
    problem: str | None = None


def alive_hours_needed(hours: int, min_coverage: float) -> int:
    """The number of hours in which the instance must have run for a watch of ``hours`` hours to count."""
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
    """Evaluate one watch.

    Args:
        signs: the data from ``since`` to ``now``.
        since: when the watch began.
        hours: the length of the watch, in hours.
        running_since: the last start; None if the instance is not running.
        threshold: number of rejected calls that counts as breakage.
        min_coverage: share of the watch in which the instance must provably have run.
        now: the time of the evaluation, timezone-aware.
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
