"""Isolated calls: a stray call of software that has a token as well, or a probe by somebody. They say nothing of what others in the
cohort run, as long as enough of these were seen to make none.

What needs IMDSv1 once a month would show about seven times in seven months of observed hours; strays and probes show about half
a time in as many (docs/safety.md has the figures of the simulation). So each isolated call has to be outweighed by that many hours.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from imdsv2.domain.evidence.pool import Trace
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.policy import Policy

MOST_CALLS = 2
"""Of an isolated use: more in an hour are software that goes on."""
MOST_A_MEMBER = 2
"""Hours with calls in the window: who is probed once a month may be so twice in 35 days. More on one member are a habit."""
TIMES_THE_HOURS = 30
_WEEK_HOURS = 168
"""A policy that asks for fewer hours does not make what runs once a month more frequent."""
_START = timedelta(hours=2)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_STEPS = (timedelta(), _DAY, 7 * _DAY)
_RUNS = 3
"""So many calls at the same hour, or of days or weeks that follow each other, are a timetable. Two are not: of a dozen strays, two
often fall so by chance."""


def hours_to_outweigh(traces: Iterable[Trace], policy: Policy) -> int:
    """So many hours without a call have to be known of others for isolated calls."""
    return sum(each.strays for each in traces) * TIMES_THE_HOURS * max(policy.min_observed_hours, _WEEK_HOURS)


def may_be_strays(evidence: Evidence) -> bool:
    """Whether accepted calls may turn out to be isolated, once all of the evidence has been read."""
    use = evidence.use
    return 0 < use.most <= MOST_CALLS and use.hours <= MOST_A_MEMBER and not use.near_start and evidence.start is None


def strays_of(evidence: Evidence) -> int:
    """In how many hours of the window accepted calls came that are all isolated: hardly any in an hour, in few hours, and not while
    boot software may have run. 0 where there are others."""
    use = evidence.use
    if not 0 < use.most <= MOST_CALLS or use.hours > MOST_A_MEMBER or use.near_start:
        return 0
    return use.hours if _is_beside_starts(evidence, use.last, _HOUR) else 0


def refused_strays_of(evidence: Evidence) -> int:
    """The same of refused calls, which are known by the day: one a day. Two on a day may be a pattern (``rejected_periods``)."""
    refused = evidence.refused
    if refused.most != 1 or refused.days > MOST_A_MEMBER or refused.near_start:
        return 0
    return refused.days if _is_beside_starts(evidence, refused.last, _DAY) else 0


def _is_beside_starts(evidence: Evidence, last: datetime | None, period: timedelta) -> bool:
    """Whether the last calls did not come at its last start; nor did earlier ones at an earlier start: what calls then does so at
    its last start as well, which was seen."""
    start = evidence.start
    if last is None or start is None or start.calls or (start.at > evidence.window_start and not start.observed):
        return False
    return not start.at - period < last < start.at + _START


def without_timetable(traces: Iterable[Trace]) -> bool:
    """Whether isolated uses came at no fixed time: a job that runs on only one member at a time would. When in the day a call was
    refused is not known here; the guard sees to that."""
    times = sorted(when for each in traces for when in each.used_at)
    return not any(_goes_on(time, step, times) for time in times for step in _STEPS)


def _goes_on(first: datetime, step: timedelta, times: Sequence[datetime]) -> bool:
    """Whether there are calls at a time, a step later, and again."""
    near = [sum(abs(each - first - number * step) <= _HOUR for each in times) for number in range(_RUNS)]
    return all(near) and (bool(step) or near[0] >= _RUNS)


def binding(traces: Iterable[Trace], quiet_hours: int, policy: Policy) -> list[Trace]:
    """Those calls that hold others, the newest first: those that are not isolated; and all, where too little is known of members
    that made none, or where the isolated ones have a timetable.

    Args:
        traces: of different members.
        quiet_hours: in which members without any call were observed.
        policy: the policy in force.
    """
    ordered = sorted(traces, key=lambda each: (each.over_at, each.calls, each.arn), reverse=True)
    others = [each for each in ordered if not each.isolated or (each.holds_refused and policy.rejected_periods == 1)]
    strays = [each for each in ordered if each not in others]
    outweighed = quiet_hours >= hours_to_outweigh(strays, policy) and policy.cohort_evidence
    return others if not strays or (outweighed and without_timetable(strays)) else ordered
