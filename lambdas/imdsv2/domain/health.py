"""Health after enforcement: a pure function from an instance's signs of life and rejected calls to its health.

CloudWatch counts refused IMDSv1 calls (`MetadataNoTokenRejected`) and may publish nothing where there are none, so
silence is health only while the instance demonstrably ran. Refused calls are breakage where they form a pattern
(`breakage`); fewer are told, and nothing is opened for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    ``refused``: rejected calls by the beginning of their period of five minutes. ``alive_hours``: whole hours in which it
    demonstrably ran; ``alive_lately``: whether the last whole hour is one of them. ``problem`` is set where an answer was not
    complete; what was counted is then a lower bound.
    """

    refused: Mapping[datetime, int] = field(default_factory=dict)
    alive_hours: int = 0
    alive_lately: bool = False
    problem: str | None = None

    @property
    def rejected_calls(self) -> int:
        return sum(self.refused.values())

    @property
    def last_rejected_call(self) -> datetime | None:
        """The beginning of the last period with rejected calls."""
        return max(self.refused, default=None)


def alive_hours_needed(hours: int, min_coverage: float) -> int:
    """The number of hours in which the instance must have run for a watch of ``hours`` hours to count."""
    return max(1, math.ceil(round(hours * min_coverage, 9)))


def judge(
    signs: Signs,
    *,
    broken: bool,
    since: datetime,
    quiet_since: datetime | None = None,
    hours: int,
    running_since: datetime | None,
    min_coverage: float,
    now: datetime,
) -> Health:
    """Evaluate one watch.

    Args:
        signs: what was counted from ``since`` to ``now``.
        broken: whether its refused calls are breakage.
        since: when the watch began.
        quiet_since: from when on it has to stay clean for its hours, where that is later than ``since``.
        hours: how long it has to stay clean.
        running_since: the last start, None while it does not run.
        min_coverage: share of the hours of the watch in which it must demonstrably have run.
        now: the time of the judgement, aware.

    It is clean only if it demonstrably ran in the last whole hour: where CloudWatch is late, what it does not show yet may be
    refused calls.
    """
    if broken:
        return Health.BROKEN
    if (
        signs.problem is None
        and now - max(since, quiet_since or since) >= timedelta(hours=hours) + LATE
        and signs.alive_hours >= alive_hours_needed(hours, min_coverage)
        and signs.alive_lately
    ):
        return Health.CLEAN
    lived = timedelta(hours=signs.alive_hours)
    if running_since is not None:
        lived = max(lived, now - max(since, running_since))
    if lived >= max(LONGEST_LIFE, timedelta(hours=hours) + _SETTLING):
        return Health.UNPROVEN
    return Health.WATCHED
