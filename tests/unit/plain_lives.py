"""Generated lives of instances: launched, stopped, started, rebooted and used at any time, with what CloudWatch was told of them and what
people said. Most of a life is quiet and seen, so that the verdict hangs on the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from imdsv2.domain.history import Acceptance, History
from imdsv2.domain.policy import BootEvidence, Policy
from tests.unit.builders import NOW, arn, instance, options
from tests.unit.evidence_builders import DAY, FIVE, MINUTE, RAN, REFUSED, START, USE
from tests.unit.plain_evidence import start_is_seen, used_at_start
from tests.unit.plain_told import SHUTDOWN, Told, five_of
from tests.world.cloudwatch import HOUR, CloudWatch, hour_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.domain.instance import Instance

PAST = 90
"""Hours of which everything is told; farther back than the window reaches."""
METRICS = (USE, RAN)
Run = tuple[datetime, datetime]

policies = st.builds(
    Policy,
    lookback_days=st.sampled_from([1, 2, 2, 3]),
    min_observed_hours=st.sampled_from([0, 4, 8, 16, 24]),
    min_coverage=st.sampled_from([0.4, 0.9, 0.9, 1.0]),
    max_gap_hours=st.sampled_from([1, 5, 24]),
    min_clean_starts=st.integers(1, 3),
    boot_evidence=st.sampled_from([BootEvidence.REQUIRE, BootEvidence.REQUIRE, BootEvidence.IGNORE]),
    cohort_evidence=st.booleans(),
)
ago = st.integers(0, PAST * 60).map(lambda minutes: minutes * MINUTE)
long_ago = st.integers(4, 470).map(lambda days: days * DAY) | st.integers(4 * 1440, 470 * 1440).map(
    lambda minutes: minutes * MINUTE
)


def seldom(strategy: st.SearchStrategy[Any], of: int = 4) -> st.SearchStrategy[Any]:
    """None, but for one in so many."""
    return st.integers(1, of).flatmap(lambda number: strategy if number == of else st.none())


@dataclass(frozen=True, kw_only=True)
class Line:
    """What an instance did: its runs, the last of which may go on."""

    runs: tuple[Run, ...]
    first: datetime | None
    is_running: bool


@st.composite
def lines(draw: st.DrawFn, now: datetime) -> Line:
    """Runs in recent days, the first of which may have begun long ago."""
    count = draw(st.integers(1, 7))
    times = sorted({now - draw(ago) for _ in range(count)})
    is_running = len(times) % 2 == 1
    if draw(st.booleans()):
        times[0] = now - draw(long_ago)
    runs = tuple(zip(times[::2], [*times[1::2], now][: len(times[::2])], strict=True))
    first = draw(st.sampled_from([runs[0][0], runs[0][0], None]) | long_ago.map(lambda each: now - each))
    return Line(runs=runs, first=None if first is None else min(first, runs[-1][0]), is_running=is_running)


@st.composite
def calm_lines(draw: st.DrawFn, now: datetime) -> Line:
    """One run, of some hours or days."""
    lived = draw(st.integers(0, PAST * 60) | st.integers(3 * 60, 24 * 60))
    is_running = draw(st.sampled_from([True, True, False]))
    ended = 0 if is_running else draw(st.integers(0, lived))
    run = (now - lived * MINUTE, now - ended * MINUTE)
    return Line(runs=(run,), first=run[0], is_running=is_running)


@st.composite
def tellings(draw: st.DrawFn, number: int = 1) -> Told:
    """One instance with all that is known of it."""
    now = NOW.replace(minute=0) + timedelta(minutes=draw(st.integers(0, 59)), seconds=draw(st.sampled_from([0, 0, 31])))
    return draw(lives(CloudWatch(lambda: now), draw(policies), now, number))


@st.composite
def lives(
    draw: st.DrawFn,
    cloudwatch: CloudWatch,
    policy: Policy,
    now: datetime,
    number: int,
    *,
    loud: int = 3,
    calm: bool = False,
) -> Told:
    """One instance with all that is known of it, beside others. ``loud``: one in so many calls, in each of several ways. ``calm``: it was
    launched of late, perhaps stopped, and nobody said anything of it."""
    line = draw(calm_lines(now) if calm else lines(now))
    target = instance(
        arn=arn(number),
        state="running" if line.is_running else "stopped",
        launched_at=line.runs[-1][0],
        first_launched_at=line.first,
        stopped_at=None if line.is_running else line.runs[-1][1],
        hibernates=not calm and draw(st.sampled_from([False] * 5 + [True])),
        options=options(hop_limit=draw(st.sampled_from([1, 2]))),
        tags=draw(st.sampled_from([{}, {"kubernetes.io/cluster/blue": "owned"}])),
    )
    history = History() if calm else draw(histories(now, target))
    said = (history.mended_at, history.rebooted_at, history.cleared_at)
    _report(draw, cloudwatch, target, line, [each for each in said if each is not None])
    _lose(draw, cloudwatch, target, now)
    _call(draw, cloudwatch, target, now, loud)
    told = Told(target=target, history=history, policy=policy, now=now, cloudwatch=cloudwatch)
    return replace(told, history=_remember(draw, told))


@st.composite
def histories(draw: st.DrawFn, now: datetime, target: Instance) -> History:
    """What people said and the service did, such that only the evidence can decide."""
    at = seldom((ago | ago | long_ago).map(lambda each: now - each))
    history = History(mended_at=draw(at), rebooted_at=draw(at), cleared_at=draw(at), acceptance=draw(acceptances(now)))
    if draw(st.integers(0, 3)) == 0:
        enforced, back, cleared = sorted((now - draw(ago), now - draw(ago), now - draw(ago)))
        return replace(history, enforced_at=enforced, confirmed=True, rolled_back_at=back, cleared_at=cleared)
    return history


@st.composite
def acceptances(draw: st.DrawFn, now: datetime) -> Acceptance | None:
    """Seldom one, in force or not."""
    until = draw(seldom(st.sampled_from([now.date(), now.date() - DAY]), of=6))
    if until is None:
        return None
    return Acceptance(owner="dora", reason="It falls back.", until=until, by=None, request_id="request-7", at=now - DAY)


def _report(draw: st.DrawFn, cloudwatch: CloudWatch, target: Instance, line: Line, said: Iterable[datetime]) -> None:
    """A datapoint an hour while it ran, of late and around starts long ago; every five minutes around what may matter."""
    phase = timedelta(seconds=draw(st.sampled_from([0, 0, 60, 240, 299])))
    samples = draw(st.sampled_from([1, 1, 5]))
    now = cloudwatch.now()
    closely = {hour_of(each) + number * HOUR for each in [run[0] for run in line.runs] for number in range(-1, 4)}
    closely |= {hour_of(each) + number * HOUR for each in said for number in range(-1, 4)}
    for begin, end in line.runs:
        for hour in _hours_told(begin, end, now):
            for stamp in _stamps(hour, phase, begin, end, often=hour in closely):
                for metric in METRICS:
                    cloudwatch.put(metric, target.arn.instance_id, stamp, 0, samples)


def _hours_told(begin: datetime, end: datetime, now: datetime) -> list[datetime]:
    """The hours of a run of which CloudWatch tells: recent ones, and those around its beginning."""
    first, recent = hour_of(begin), hour_of(now - PAST * HOUR)
    hours = {first + number * HOUR for number in range(4)}
    hours |= {recent + number * HOUR for number in range(PAST + 1)}
    return sorted(each for each in hours if first <= each < end)


def _stamps(hour: datetime, phase: timedelta, begin: datetime, end: datetime, *, often: bool) -> list[datetime]:
    """When the datapoints of an hour begin: each covers the five minutes from there on, of which it ran a part."""
    every = [hour + number * FIVE - phase for number in range(13)]
    kept = [each for each in every if hour_of(each) == hour and each + FIVE > begin and each < end]
    return kept if often else kept[:1]


def _lose(draw: st.DrawFn, cloudwatch: CloudWatch, target: Instance, now: datetime) -> None:
    """Datapoints that never arrived, and such that hold fewer samples than others."""
    spans = st.tuples(ago, st.sampled_from([5, 60, 60, 180, 400, 1500]), st.sampled_from([(USE,), (RAN,), METRICS]))
    lost = [(now - each, minutes, metrics) for each, minutes, metrics in draw(st.lists(spans, max_size=3))]
    offset = draw(seldom(st.integers(-5, 125)))
    if offset is not None:
        lost.append((target.launched_at + offset * MINUTE, draw(st.sampled_from([5, 30])), (USE,)))
    for begin, minutes, metrics in lost:
        for metric in metrics:
            points = cloudwatch.points.get((metric, target.arn.instance_id), {})
            for when in [each for each in points if begin <= each < begin + minutes * MINUTE]:
                del points[when]
    weak = draw(seldom(st.integers(0, 25)))
    stamps = sorted(cloudwatch.points.get((USE, target.arn.instance_id), {}))
    around = [each for each in stamps if target.launched_at - FIVE < each < target.launched_at + START]
    if weak is not None and weak < len(around):
        cloudwatch.samples[USE, target.arn.instance_id][around[weak]] = 0


def _call(draw: st.DrawFn, cloudwatch: CloudWatch, target: Instance, now: datetime, loud: int) -> None:
    """Calls in few datapoints, at any time, around starts and long ago; each has a datapoint."""
    for metric in (USE, REFUSED):
        recent = ago.map(lambda each: now - each)
        near = st.integers(-10, 130).map(lambda minutes: target.launched_at + minutes * MINUTE)
        past = long_ago.map(lambda each: now - each)
        times = draw(seldom(st.lists(recent | near | past, min_size=1, max_size=3), of=loud)) or []
        times += draw(seldom(st.lists(past, min_size=2, max_size=4), of=loud)) or []
        for when in times:
            if when < min(now, target.stopped_at + SHUTDOWN if target.stopped_at else now):
                _add(cloudwatch, target, metric, when)


def _add(cloudwatch: CloudWatch, target: Instance, metric: str, when: datetime) -> None:
    """A call in the datapoint that covers its time, or in one of its own."""
    points = cloudwatch.points.get((metric, target.arn.instance_id), {})
    covering = [each for each in (when - number * MINUTE for number in range(5)) if each in points]
    cloudwatch.add(metric, target.arn.instance_id, covering[0] if covering else five_of(when), 1)


def _remember(draw: st.DrawFn, told: Told) -> History:
    """What earlier looks have shown, and would have shown again."""
    history, used, refused = told.history, told.calls(USE), told.calls(REFUSED)
    quiet_until = told.now - draw(ago)
    if draw(st.booleans()) and not any(each <= quiet_until for each in used):
        history = replace(history, quiet_until=quiet_until)
    if draw(st.booleans()) and start_is_seen(told) and not used_at_start(told):
        history = replace(history, proved_start=told.started)
    since, until = told.now - draw(long_ago), told.now - draw(ago)
    if draw(st.booleans()) and since < until and not any(since <= each <= until for each in refused):
        history = replace(history, unrefused_since=since, unrefused_until=until)
    return history
