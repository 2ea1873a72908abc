"""From series of datapoints to evidence: pure. No datapoint is never zero.

For *use*, every period that touches a range counts; for *coverage* and *observed hours*, only those wholly inside it. While an
instance is running, every hour since its last start is one in which it ran, whether or not a metric says so.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.hours import HOUR, WEEK_HOURS, Hours, Series, at
from imdsv2.domain.evidence.pattern import pattern_of
from imdsv2.domain.evidence.values import Gap, Refused, Use
from imdsv2.domain.evidence.window import START, first_fine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.evidence.window import Window
    from imdsv2.domain.policy import Policy

FRESH_HOURS = 3
"""One of so many newest whole hours must have a datapoint."""
_HOURS_OF_A_START = (1, 2, 3)
"""Where each of so many hours before it has a datapoint, an hour does not touch the two hours after any start."""
_DAY = timedelta(days=1)
_FROM_MONDAY = 3 * 24
"""1970 began on a Thursday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """In which of the hours of the window it ran and was observed. ``lately``: as in `Evidence`."""

    observed: int
    lately: int | None
    ran: int
    gap: Gap
    fresh: bool
    newest: datetime | None
    enough_at: datetime | None

    @property
    def coverage(self) -> float:
        return self.observed / self.ran if self.ran else 0.0


def use_of(window: Window, tokenless: Series, edge: Series | None) -> Use:
    """The accepted calls in the window. ``edge``: the five-minute periods of the hour in which it begins, where known."""
    if not any(tokenless.values.values()):
        return Use()
    values = {hour: tokenless.values[hour] for hour in window.touched if tokenless.values.get(hour)}
    if edge is not None and window.edge in values:
        values[window.edge] = sum(value for second, value in edge.values.items() if second >= first_fine(window.start))
    used = [hour for hour, value in values.items() if value]
    return Use(
        calls=math.ceil(sum(values.values())),
        hours=len(used),
        days=len({hour // 24 for hour in used}),
        first=at(min(used)) if used else None,
        last=at(max(used)) if used else None,
        pattern=pattern_of(used, tokenless.values.keys(), [window.started_at]),
        most=math.ceil(max(values.values(), default=0)),
        near_start=any(hour - before not in tokenless.values for hour in used for before in _HOURS_OF_A_START),
        week=_week_of(values),
    )


def _week_of(values: Mapping[int, float]) -> dict[int, int]:
    calls: dict[int, float] = {}
    for hour, value in values.items():
        calls[(hour + _FROM_MONDAY) % WEEK_HOURS] = calls.get((hour + _FROM_MONDAY) % WEEK_HOURS, 0) + value
    return {hour: math.ceil(value) for hour, value in sorted(calls.items()) if value}


def quiet_hours(tokenless: Series, refused: Series | None) -> Series:
    """The hours with a datapoint, without those in which calls were refused: in these it was not quiet."""
    if refused is None or not any(refused.values.values()):
        return tokenless
    return Series(values={hour: value for hour, value in tokenless.values.items() if not refused.values.get(hour)})


def life_of(window: Window, tokenless: Series, ran: Series | None, policy: Policy) -> Life:
    """How much of the window was observed. ``ran``: in which hours it demonstrably ran; None where that was not asked, and
    then every hour counts as one in which it ran."""
    inside, seen = window.inside, tokenless.values
    missing = [hour for hour in inside if hour not in seen]
    unseen = _unseen(window, missing, None if ran is None else ran.values.keys())
    newest = next((hour for hour in reversed(range(inside.first, inside.end)) if hour in seen), None)
    since = len(unseen) - bisect_left(unseen, newest) if newest is not None else len(unseen)
    observed = len(inside) - len(missing)
    return Life(
        observed=observed,
        lately=_lately(window, seen, policy),
        ran=observed + len(unseen),
        gap=_gap(missing, unseen),
        fresh=since < FRESH_HOURS if newest is not None else not unseen,
        newest=at(newest + 1) if newest is not None else None,
        enough_at=_enough_at(window, tokenless, observed, policy),
    )


def _lately(window: Window, seen: Mapping[int, float], policy: Policy) -> int | None:
    """The observed hours of the last days before now, where the window of what is stopped begins before these."""
    since = window.now - timedelta(days=policy.lookback_days)
    if window.start >= since:
        return None
    return sum(hour in seen for hour in Hours.inside(since, window.end))


def hours_unexplained(window: Window, tokenless: Series, policy: Policy) -> list[int]:
    """Hours of which it has to be known whether the instance ran, in order: those without a datapoint before its last start,
    where coverage or gaps depend on them, or where starts may have to stand for hours."""
    life = life_of(window, tokenless, None, policy)
    is_enough = life.coverage >= policy.min_coverage and life.observed >= policy.min_observed_hours
    if is_enough and life.gap.hours <= policy.max_gap_hours and life.fresh:
        return []
    launched = _first_hour(window)
    missing = [hour for hour in window.inside if hour < launched and hour not in tokenless.values]
    return _unseen(window, missing, None)


def _unseen(window: Window, missing: Sequence[int], ran: AbstractSet[int] | None) -> list[int]:
    """Of the hours without a datapoint, those in which it ran, or may have run, in order.

    EC2 says that it has been running since its last start (and, once stopped, that it ran until then). Hours in which the service
    required tokens have no datapoint of accepted calls, and are none of them.
    """
    launched, required = _first_hour(window), _required(window)
    return [hour for hour in missing if hour not in required and (ran is None or hour >= launched or hour in ran)]


def _first_hour(window: Window) -> int:
    """The first hour that lies wholly after the last start."""
    return math.ceil(window.instance.launched_at.timestamp() / HOUR)


def _required(window: Window) -> range:
    """The hours in which the service required tokens, in whole or in part."""
    required = window.required
    if required is None:
        return range(0)
    return range(math.floor(required[0].timestamp() / HOUR), math.ceil(required[1].timestamp() / HOUR))


def _gap(missing: Sequence[int], unseen: Sequence[int]) -> Gap:
    """The longest run of hours in which it ran unseen; hours in which it did not run do not end it.

    Args:
        missing: the hours without a datapoint, in order.
        unseen: those of them in which it ran.
    """
    ran, hours, begins = set(unseen), 0, None
    current, previous, first = 0, None, None
    for hour in missing:
        if previous is None or hour != previous + 1:
            current = 0
        previous = hour
        if hour not in ran:
            continue
        current += 1
        first = hour if current == 1 else first
        if current > hours:
            hours, begins = current, first
    return Gap(hours=hours, begins=at(begins) if begins is not None else None)


def _enough_at(window: Window, tokenless: Series, observed: int, policy: Policy) -> datetime | None:
    """When the hours that the policy wants will lie in the window, if the instance runs on from now and is observed."""
    if window.instance.state != "running" or observed >= policy.min_observed_hours:
        return None
    first_new, hours = window.inside.end, [hour for hour in window.inside if hour in tokenless.values]
    for later in range(policy.min_observed_hours - observed, policy.lookback_days * 24 + 1):
        oldest = first_new + later - policy.lookback_days * 24
        if later + len(hours) - bisect_left(hours, oldest) >= policy.min_observed_hours:
            return at(first_new + later)
    return None


def refused_in(window: Window, days: Series, straddled: Series | None) -> Refused:
    """The refused calls of the window.

    Args:
        window: the instance.
        days: refused calls by the day.
        straddled: those of the day in which ``refused_since`` lies, by periods of five minutes; None where it is not known.
    """
    counted = _that_count(window, days.values, straddled)
    by_day: dict[int, float] = {}
    for when, value in counted.items():
        by_day[day_with(when)] = by_day.get(day_with(when), 0.0) + value
    started_at = window.started_at
    return Refused(
        calls=math.ceil(sum(counted.values())),
        last=max(counted, default=None),
        earlier=max(0, math.ceil(sum(days.values.values()) - sum(counted.values()))),
        since=window.refused_since,
        days=len(by_day),
        most=math.ceil(max(by_day.values(), default=0)),
        near_start=any(started_at - _DAY < when < started_at + START for when in counted),
    )


def _that_count(window: Window, days: Mapping[int, float], straddled: Series | None) -> dict[datetime, float]:
    """The refused calls that no person has settled, by the beginning of their day or, on the day of a person's word, their five
    minutes."""
    refused = {day: value for day, value in days.items() if value}
    since = window.refused_since
    if since is None:
        return {at(day): value for day, value in refused.items()}
    border = day_with(since)
    counted = {at(day): value for day, value in refused.items() if day > border}
    if straddled is not None:
        first = window.refused_from or 0
        fine = {second: value for second, value in straddled.values.items() if second >= first and value}
        return counted | {datetime.fromtimestamp(second, UTC): value for second, value in fine.items()}
    return counted | ({at(border): refused[border]} if border in refused else {})


def day_with(when: datetime) -> int:
    """The day (UTC) in which a time lies, by its first hour."""
    return math.floor(when.timestamp() / (24 * HOUR)) * 24


def earlier_starts(window: Window, tokenless: Series, ran: Series | None) -> int:
    """How many starts before the last one were observed, without a call: an hour in which it began to run, and the one after it, unless
    it was stopped by then.

    Where nothing but a missing datapoint tells of a start, it is none: whether it ran in the hours before has to be known, and in
    those in which the service required tokens it is not. Nor is one what may have been a resume from hibernation.

    Args:
        window: the instance.
        tokenless: the quiet hours with a datapoint.
        ran: in which hours it demonstrably ran; None where that was not asked.
    """
    if ran is None or window.instance.hibernates:
        return 0
    inside, last = window.inside, math.floor(window.started_at.timestamp() / HOUR)
    seen, required = tokenless.values, _required(window)

    def was_off(hour: int) -> bool:
        return hour not in seen and hour not in ran.values and hour not in required

    def was_quiet(hour: int) -> bool:
        return hour in seen and not seen[hour]

    hours = range(inside.first + 1, min(inside.end, last) - 1)
    return sum(was_off(hour - 1) and was_quiet(hour) and (was_quiet(hour + 1) or was_off(hour + 1)) for hour in hours)


def starts_suffice(evidence: Evidence, policy: Policy, *, of_others: int = 0) -> bool:
    """Whether observed starts stand for the hours that the policy wants. An instance that has not existed for so many hours may
    still collect them.

    Args:
        evidence: the instance's own.
        policy: the policy.
        of_others: observed starts of others in its cohort.
    """
    enough = evidence.clean_starts + of_others >= policy.min_clean_starts
    return enough and evidence.clean_starts > 0 and not is_young(evidence, policy)


def is_covered(evidence: Evidence, policy: Policy) -> bool:
    """Whether enough of the time in which it ran was observed."""
    return evidence.coverage >= policy.min_coverage and evidence.gap.hours <= policy.max_gap_hours


def is_young(evidence: Evidence, policy: Policy) -> bool:
    """Whether it has not existed for as many hours as the policy wants to see, so that it cannot have been observed for them."""
    return evidence.window_end - evidence.window_start < timedelta(hours=policy.min_observed_hours)


def speaks_for_enforcing(evidence: Evidence, policy: Policy) -> bool:
    """Whether use before the window could make a difference."""
    made = evidence.use.calls + evidence.refused.calls + (evidence.start.calls if evidence.start else 0)
    if evidence.problem is not None or made or not evidence.fresh:
        return False
    is_long = evidence.observed_hours >= policy.min_observed_hours or starts_suffice(evidence, policy)
    by_cohort = policy.cohort_evidence and evidence.observed_hours > 0
    if is_covered(evidence, policy):
        return is_long or by_cohort
    return by_cohort and is_young(evidence, policy)


def problem_of(*series: Series | None) -> tuple[str | None, bool]:
    """The first problem among series, and whether the next look may succeed."""
    problems = [each for each in series if each is not None and each.problem is not None]
    return (problems[0].problem if problems else None), any(each.passes for each in problems)
