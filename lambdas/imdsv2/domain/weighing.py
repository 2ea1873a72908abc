"""From series of datapoints to evidence: pure. No datapoint is never zero.

For *use*, every period that touches a range counts; for *coverage* and *observed hours*, only those wholly inside it. While an
instance is running, every hour since its last start is one in which it ran, whether or not a metric says so.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median_high
from typing import TYPE_CHECKING

from imdsv2.domain.evidence import Gap, Recurrence, Refused, Start, Use
from imdsv2.domain.hours import HOUR, at
from imdsv2.domain.pattern import pattern_of
from imdsv2.domain.window import FINE, first_fine

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from imdsv2.domain.evidence import Evidence
    from imdsv2.domain.hours import Series
    from imdsv2.domain.policy import Policy
    from imdsv2.domain.window import Window

FRESH_HOURS = 3
"""One of so many newest whole hours must have a datapoint."""
_WEEK = timedelta(days=7)
_WORTH_OBSERVING = timedelta(minutes=15)
"""What is left of the hour of the start must have a datapoint where it is at least this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """In which of the hours of the window it ran and was observed."""

    observed: int
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
    values = {hour: tokenless.values[hour] for hour in window.touched if tokenless.values.get(hour)}
    if edge is not None and window.edge in values:
        after = sum(value for second, value in edge.values.items() if second >= first_fine(window.start))
        values[window.edge] = after
    used = [hour for hour, value in values.items() if value]
    return Use(
        calls=math.ceil(sum(values.values())),
        hours=len(used),
        days=len({hour // 24 for hour in used}),
        last=at(max(used)) if used else None,
        pattern=pattern_of(used, tokenless.values.keys(), [window.started_at]),
    )


def life_of(window: Window, tokenless: Series, ran: Series | None, policy: Policy) -> Life:
    """How much of the window was observed. ``ran``: in which hours it demonstrably ran; None where that was not asked, and
    then every hour counts as one in which it ran."""
    observed = {hour for hour in window.inside if hour in tokenless.values}
    missing = _missing(window, observed, None if ran is None else ran.values.keys())
    running = sorted([*observed, *missing]) if missing else []
    newest = max(observed, default=None)
    return Life(
        observed=len(observed),
        ran=len(observed) + len(missing),
        gap=_gap(running, observed),
        fresh=not missing or any(hour in observed for hour in running[-FRESH_HOURS:]),
        newest=at(newest + 1) if newest is not None else None,
        enough_at=_enough_at(window, observed, policy),
    )


def hours_unexplained(window: Window, tokenless: Series, policy: Policy) -> list[int]:
    """Hours of which it has to be known whether the instance ran, in order: those without a datapoint before its last start,
    where coverage or gaps depend on them."""
    life = life_of(window, tokenless, None, policy)
    if life.coverage >= policy.min_coverage and life.gap.hours <= policy.max_gap_hours and life.fresh:
        return []
    launched = _first_hour(window)
    missing = _missing(window, set(tokenless.values), None)
    return [hour for hour in missing if hour < launched]


def _missing(window: Window, observed: AbstractSet[int], ran: AbstractSet[int] | None) -> list[int]:
    """Hours of the window in which it ran, or may have run, and of which there is no datapoint, in order.

    EC2 says that it has been running since its last start (and, once stopped, that it ran until then). Hours in which the service
    required tokens have no datapoint of accepted calls, and are none of them.
    """
    launched, required = _first_hour(window), _required(window)
    return [
        hour
        for hour in window.inside
        if hour not in observed and hour not in required and (ran is None or hour >= launched or hour in ran)
    ]


def _first_hour(window: Window) -> int:
    """The first hour that lies wholly after the last start."""
    return math.ceil(window.instance.launched_at.timestamp() / HOUR)


def _required(window: Window) -> range:
    """The hours in which the service required tokens, in whole or in part."""
    opened = window.opened
    if opened is None:
        return range(0)
    return range(math.floor(opened[0].timestamp() / HOUR), math.ceil(opened[1].timestamp() / HOUR))


def _gap(running: list[int], observed: set[int]) -> Gap:
    longest = current = 0
    begins = first = None
    for hour in running:
        if hour in observed:
            current = 0
            continue
        current += 1
        first = hour if current == 1 else first
        if current > longest:
            longest, begins = current, first
    return Gap(hours=longest, begins=at(begins) if begins is not None else None)


def _enough_at(window: Window, observed: set[int], policy: Policy) -> datetime | None:
    """When the hours that the policy wants will lie in the window, if the instance runs on from now and is observed."""
    if window.instance.state != "running" or len(observed) >= policy.min_observed_hours:
        return None
    first_new, hours = window.inside.end, sorted(observed)
    for later in range(1, policy.lookback_days * 24 + 1):
        oldest = first_new + later - policy.lookback_days * 24
        if later + len(hours) - bisect_left(hours, oldest) >= policy.min_observed_hours:
            return at(first_new + later)
    return None


def start_of(window: Window, calls: Series | None, samples: Series | None) -> Start:
    """What was seen of the last start.

    Args:
        window: the instance.
        calls: accepted and refused calls around it, where they were asked for.
        samples: how many samples each period around it has; None where CloudWatch has forgotten them.
    """
    started_at = window.started_at
    resumable = window.instance.hibernates and started_at == window.instance.launched_at
    if window.proof_is_kept:
        return Start(at=started_at, observed=True)
    if window.start_is_forgotten:
        return Start(at=started_at, forgotten=True)
    if window.start_is_fine:
        needed, whole = _fine_periods(window, samples)
        made = _calls_from(calls, first_fine(started_at), math.ceil(window.start_ends.timestamp()))
    else:
        needed, whole = _hours_needed(window), set(samples.values if samples else ())
        made = _calls_from(calls, window.start_hours.first, window.start_hours.end)
    is_over = window.start_ends <= window.now
    missing = sum(period not in whole for period in needed)
    return Start(
        at=started_at,
        observed=is_over and bool(needed) and not missing and not resumable,
        observable_at=window.start_ends,
        resumable=resumable,
        calls=made,
        periods=len(needed),
        missing=missing,
    )


def _fine_periods(window: Window, samples: Series | None) -> tuple[list[int], set[int]]:
    """The five-minute periods wholly inside the start, and those that were seen whole.

    ``SampleCount`` tells one that was seen whole from one that was not: a whole one has as many samples as most of them.
    """
    first = math.ceil(window.started_at.timestamp() / FINE) * FINE
    end = math.floor(min(window.start_ends, window.now).timestamp() / FINE) * FINE
    needed = list(range(first, end, FINE))
    seen = {second: count for second in needed if samples and (count := samples.values.get(second))}
    usual = median_high(seen.values()) if seen else 0
    return needed, {second for second, count in seen.items() if count >= usual}


def _hours_needed(window: Window) -> list[int]:
    """The hours of the start that must have a datapoint, where CloudWatch has nothing finer."""
    started_at = window.started_at
    containing = math.floor(started_at.timestamp() / HOUR)
    first_whole = math.ceil(started_at.timestamp() / HOUR)
    needed = [first_whole]
    if at(containing + 1) - started_at >= _WORTH_OBSERVING and containing != first_whole:
        needed.insert(0, containing)
    return [hour for hour in needed if at(hour) < window.start_ends]


def _calls_from(calls: Series | None, first: int, end: int) -> int:
    return math.ceil(sum(value for period, value in calls.values.items() if first <= period < end)) if calls else 0


def refused_in(window: Window, days: Series, straddled: Series | None) -> Refused:
    """The refused calls of the window.

    Args:
        window: the instance.
        days: refused calls by the day.
        straddled: those of the day in which ``refused_since`` lies, by periods of five minutes; None where it is not known.
    """
    since = window.refused_since
    refused = {day: value for day, value in days.values.items() if value}
    if since is None:
        counted, earlier, last = sum(refused.values()), 0.0, max(refused, default=None)
        return Refused(calls=math.ceil(counted), last=at(last) if last is not None else None)
    border = day_with(since)
    after = {at(day): value for day, value in refused.items() if day > border}
    on_the_day = refused.get(border, 0.0)
    if straddled is not None:
        fine = {second: value for second, value in straddled.values.items() if second >= first_fine(since) and value}
        after |= {datetime.fromtimestamp(second, UTC): value for second, value in fine.items()}
    elif on_the_day:
        after[at(border)] = on_the_day
    counted = sum(after.values())
    earlier = sum(refused.values()) - counted
    return Refused(
        calls=math.ceil(counted), last=max(after, default=None), earlier=max(0, math.ceil(earlier)), since=since
    )


def day_with(when: datetime) -> int:
    """The day (UTC) in which a time lies, by its first hour."""
    return math.floor(when.timestamp() / (24 * HOUR)) * 24


def recurrence_of(window: Window, weeks: Series) -> Recurrence:
    """Use before the window, seen by the week: whether it comes again.

    Weeks of use that follow each other are one burst. What is not known within a week is taken so that it holds longer.
    """
    used = sorted(week for week, value in weeks.values.items() if value)
    if not used:
        return Recurrence()
    bursts = _bursts(used)
    last = bursts[-1][1]
    silences = [at(later[0]) + _WEEK - at(earlier[1]) for earlier, later in pairwise(bursts)]
    ends_at = min(at(last) + _WEEK, window.start) + 2 * max(silences) if silences else None
    return Recurrence(
        calls=math.ceil(sum(weeks.values[week] for week in used)), last=at(last), bursts=len(bursts), ends_at=ends_at
    )


def _bursts(weeks: list[int]) -> list[tuple[int, int]]:
    """First and last week of each run of weeks with use."""
    bursts: list[tuple[int, int]] = []
    for week in weeks:
        if bursts and week - bursts[-1][1] <= 7 * 24:
            bursts[-1] = (bursts[-1][0], week)
        else:
            bursts.append((week, week))
    return bursts


def speaks_for_enforcing(evidence: Evidence, policy: Policy) -> bool:
    """Whether use before the window could make a difference."""
    made = evidence.use.calls + evidence.refused.calls + (evidence.start.calls if evidence.start else 0)
    return (
        evidence.problem is None
        and made == 0
        and evidence.coverage >= policy.min_coverage
        and evidence.gap.hours <= policy.max_gap_hours
        and evidence.fresh
        and evidence.observed_hours >= policy.min_observed_hours
    )


def problem_of(*series: Series | None) -> tuple[str | None, bool]:
    """The first problem among series, and whether AWS asks to come back soon."""
    problems = [each for each in series if each is not None and each.problem is not None]
    return (problems[0].problem if problems else None), any(each.passes for each in problems)
