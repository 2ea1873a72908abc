"""Generated instances with generated histories, and their verdict computed directly from the datapoints."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Reason
from tests.unit.builders import NOW, arn, instance
from tests.unit.evidence_builders import DAY, MINUTE, RAN, REFUSED, START, USE, hours, periods
from tests.world.cloudwatch import HOUR, CloudWatch, hour_of

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance

BRIEF = Policy(lookback_days=2, min_observed_hours=8, max_gap_hours=5)
PAST = 84
"""Hours of history with arbitrary events; longer than the window and the start before it."""
FIVE = 300


@st.composite
def fleets(draw: st.DrawFn, size: int = 1) -> tuple[datetime, list[Instance], CloudWatch]:
    """Instances launched, used, refused, stopped and started at arbitrary times in recent days, with gaps."""
    now = NOW.replace(minute=0) + timedelta(minutes=draw(st.integers(0, 59)))
    cloudwatch = CloudWatch(lambda: now)
    return now, [draw(lives(cloudwatch, number, now)) for number in range(1, size + 1)], cloudwatch


@st.composite
def lives(draw: st.DrawFn, cloudwatch: CloudWatch, number: int, now: datetime) -> Instance:
    """One instance with its history."""
    minutes = st.integers(0, PAST * 60)
    first, last = sorted((draw(minutes), draw(minutes)), reverse=True)
    stopped = draw(st.none() | st.integers(0, max(0, last - 1)))
    target = instance(
        arn=arn(number),
        state="running" if stopped is None else "stopped",
        first_launched_at=now - first * MINUTE,
        launched_at=now - last * MINUTE,
        stopped_at=None if stopped is None else now - stopped * MINUTE,
    )
    few = st.sets(st.integers(0, PAST), max_size=12)
    gaps, asleep, used = draw(few), draw(few), draw(st.sets(st.integers(0, PAST), max_size=2))
    refused, lost = draw(st.sets(st.integers(0, PAST), max_size=1)), draw(st.sets(st.integers(0, 24), max_size=1))
    end = target.stopped_at or now
    name = target.arn.instance_id
    for ago, hour in enumerate(reversed(hours(now - first * MINUTE, end))):
        if ago not in gaps:
            cloudwatch.put(USE, name, hour, float(ago in used))
        if ago not in asleep:
            cloudwatch.put(RAN, name, hour, 1.0)
        if ago in refused:
            cloudwatch.put(REFUSED, name, hour + 5 * MINUTE, 1.0)
    for index, period in enumerate(periods(target.launched_at, min(target.launched_at + START, end))):
        known = cloudwatch.points.get((USE, name), {})
        if hour_of(period) in known and period not in known and index not in lost:
            cloudwatch.put(USE, name, period, 0)
    return target


def plain_reason(cloudwatch: CloudWatch, target: Instance, now: datetime, policy: Policy = BRIEF) -> Reason:
    """Rows 13 to 19, computed from the datapoints as the contract defines them, without questions, calls or pages."""
    name = target.arn.instance_id
    calls, refused, ran = (cloudwatch.points.get((metric, name), {}) for metric in (USE, REFUSED, RAN))
    end = target.stopped_at or now
    start = max(end - timedelta(days=policy.lookback_days), target.first_launched_at or end)
    off = end + 10 * MINUTE if target.state == "stopped" else end
    if any(value and when < off and hour_of(when) + HOUR > start for when, value in calls.items()):
        return Reason.V1_IN_USE
    day = hour_of(start).replace(hour=0)
    if any(value and day <= when < hour_of(off + 59 * MINUTE) for when, value in refused.items()):
        return Reason.V1_REFUSED
    over = min(target.launched_at + START, max(end, target.launched_at)) if target.stopped_at else None
    over = over or target.launched_at + START
    earliest = math.floor(target.launched_at.timestamp() / FIVE) * FIVE - FIVE
    around = [each for metric in (calls, refused) for each, value in metric.items() if value]
    if any(earliest <= when.timestamp() < over.timestamp() for when in around):
        return Reason.V1_AT_BOOT
    inside = [hour for hour in hours(start, end) if start <= hour and hour + HOUR <= end]
    seen = {hour_of(when) for when in calls}
    running = [hour for hour in inside if hour in seen or hour in ran or hour >= target.launched_at]
    if not _is_seen(running, seen, policy):
        return Reason.NO_EVIDENCE
    if sum(hour in seen for hour in inside) < policy.min_observed_hours:
        return Reason.TOO_YOUNG
    return Reason.UNUSED if over <= now and _start_is_seen(target, over, set(calls)) else Reason.BOOT_NOT_OBSERVABLE


def _is_seen(running: list[datetime], seen: set[datetime], policy: Policy) -> bool:
    """Coverage, freshness and gaps."""
    covered = sum(hour in seen for hour in running)
    if not running or covered / len(running) < policy.min_coverage:
        return False
    if not any(hour in seen for hour in running[-3:]):
        return False
    gap = "".join("x" if hour in seen else "-" for hour in running)
    return max(map(len, gap.split("x"))) <= policy.max_gap_hours


def _start_is_seen(target: Instance, over: datetime, stamps: set[datetime]) -> bool:
    begins = target.launched_at.timestamp()
    first = math.floor(begins / FIVE) * FIVE
    if first + FIVE - begins < FIVE / 2:
        first += FIVE
    needed = range(first, math.floor(over.timestamp() / FIVE) * FIVE, FIVE)
    seen = {math.floor(when.timestamp() / FIVE) * FIVE for when in stamps}
    return bool(needed) and all(each in seen for each in needed)


def quiet(launched_at: datetime, now: datetime, first_launched_at: datetime) -> tuple[CloudWatch, Instance]:
    """An instance that ran from its first launch on, never called, and reported everything."""
    cloudwatch = CloudWatch(lambda: now)
    target = instance(launched_at=launched_at, first_launched_at=first_launched_at)
    name = target.arn.instance_id
    for hour in hours(max(first_launched_at, now - 3 * DAY), now):
        cloudwatch.put(USE, name, hour, 0)
        cloudwatch.put(RAN, name, hour, 1)
    for period in periods(launched_at, min(launched_at + START, now)):
        cloudwatch.put(USE, name, period, 0)
    return cloudwatch, target
