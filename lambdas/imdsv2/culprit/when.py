"""When the calls come, which says where to look, and which other instances share that."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.hours import at
from imdsv2.domain.evidence.pattern import AT_STARTS, IRREGULAR, ONCE, STEADY, pattern_of
from imdsv2.domain.texts.words import count

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

_ALIKE = 0.5
"""Of the hours of calls of two instances: from this share on, one timetable makes both call."""

_MEANS = {
    ONCE: "once: look for what a person or an installer did at that time",
    AT_STARTS: "at starts: look at user data, boot scripts, and agents that look around when they start",
    STEADY: "steadily: look at what always runs, e.g. an agent, or a service that renews its credentials",
    IRREGULAR: "at no fixed time: look at what people or requests trigger, or watch the instance while it calls",
}
_JOB = "{}: look for a job with this timetable (cron, systemd timers, Task Scheduler; the hour is in UTC)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When one instance called. ``pattern``: as `pattern_of` gives it, empty without calls; ``used``: the hours with calls."""

    pattern: str = ""
    calls: int = 0
    last: datetime | None = None
    used: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What the members of a cohort have in common: how many were looked at, how many of them called, and how many of these in the
    same way as the one in question."""

    looked_at: int
    calling: int
    alike: int

    @property
    def says(self) -> str:
        """As a sentence that says where to look."""
        if self.looked_at <= 1:
            return "No other instance of its cohort was looked at."
        others = count(self.looked_at - 1, "other")
        if self.alike <= 1:
            if self.calling <= 1:
                return f"Of {others} of its cohort none called: look at what only this instance runs."
            return f"Of {others} of its cohort {self.calling - 1} called too, but at other times: these may be several causes."
        return (
            f"Of {others} of its cohort {self.alike - 1} called in the same way: look at what they have in common, their AMI, "
            "user data or deployment."
        )


def timing_of(calls: Mapping[int, float], starts: Collection[datetime]) -> Timing:
    """When an instance called.

    Args:
        calls: calls by hour (whole numbers since 1970), refused ones among them; an hour without a datapoint is not in it.
        starts: the starts of the instance that are known.
    """
    used = frozenset(hour for hour, value in calls.items() if value)
    if not used:
        return Timing()
    return Timing(
        pattern=pattern_of(used, calls.keys(), starts),
        calls=math.ceil(sum(calls[hour] for hour in used)),
        last=at(max(used)),
        used=used,
    )


def sharing_of(one: Timing, others: Collection[Timing]) -> Sharing:
    """How many of its cohort call as this one does. ``others``: of the members beside it that were looked at."""
    calling = [each for each in others if each.used]
    return Sharing(
        looked_at=1 + len(others),
        calling=bool(one.used) + len(calling),
        alike=bool(one.used) + sum(_alike(one, each) for each in calling),
    )


def where_to_look(pattern: str) -> str:
    """What a pattern says of the cause; empty where nothing is known."""
    if not pattern:
        return ""
    return f"It calls {_MEANS.get(pattern) or _JOB.format(pattern)}."


def _alike(one: Timing, other: Timing) -> bool:
    """Instances start at different hours, and so do those that call at starts; others call in the same hours."""
    if not one.used or one.pattern != other.pattern:
        return False
    if one.pattern != IRREGULAR and one.pattern != ONCE:
        return True
    return len(one.used & other.used) >= _ALIKE * min(len(one.used), len(other.used))
