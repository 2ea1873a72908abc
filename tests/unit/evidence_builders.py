"""Histories of instances in an in-memory CloudWatch, and what the service sees of them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict_table.decision import decide
from imdsv2.line.evidence.gather import gather
from tests.unit.builders import NOW, instance
from tests.world.cloudwatch import HOUR, hour_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.domain.evidence.values import Evidence, Start
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.verdict import Verdict
    from tests.world.cloudwatch import CloudWatch

MINUTE = timedelta(minutes=1)
FIVE = 5 * MINUTE
DAY = timedelta(days=1)
USE = "MetadataNoToken"
RAN = "CPUUtilization"
REFUSED = "MetadataNoTokenRejected"
POLICY = Policy()
START = timedelta(hours=2)
FINE_MEMORY = timedelta(days=63)
UNKNOWN = History()
WIDE = Policy(lookback_days=35, min_observed_hours=24)


def hours(start: datetime, end: datetime) -> list[datetime]:
    """The start of every hour that overlaps the given time range."""
    first = hour_of(start)
    return [first + HOUR * number for number in range(math.ceil((end - first) / HOUR))]


def periods(start: datetime, end: datetime) -> list[datetime]:
    """The start of every five minutes that overlap the given time range."""
    first = start.replace(minute=start.minute // 5 * 5, second=0, microsecond=0)
    return [first + FIVE * number for number in range(math.ceil((end - first) / FIVE))]


def report(
    cloudwatch: CloudWatch,
    target: Instance,
    start: datetime,
    end: datetime,
    metrics: Iterable[str] = (USE, RAN),
    value: float = 0,
) -> None:
    """What a running instance sends, as CloudWatch keeps it: a datapoint an hour, and around its last start one every five
    minutes for as long as these are kept."""
    for metric in metrics:
        for hour in hours(start, end):
            cloudwatch.put(metric, target.arn.instance_id, hour, value)
        begins = max(start, target.launched_at)
        if begins >= cloudwatch.now() - FINE_MEMORY:
            report_start(cloudwatch, target, begins, min(end, target.launched_at + START), metric)


def report_start(
    cloudwatch: CloudWatch, target: Instance, start: datetime, end: datetime, metric: str = USE, samples: int = 1
) -> None:
    """A datapoint without a call every five minutes, beside what is there."""
    for period in periods(start, end):
        if period not in cloudwatch.points.get((metric, target.arn.instance_id), {}):
            cloudwatch.put(metric, target.arn.instance_id, period, 0, samples)


def lose(
    cloudwatch: CloudWatch, target: Instance, start: datetime, end: datetime, metrics: Iterable[str] = (USE,)
) -> None:
    """The datapoints from a time on, up to another, never arrived."""
    for metric in metrics:
        points = cloudwatch.points.get((metric, target.arn.instance_id), {})
        for when in [each for each in points if start <= each < end]:
            del points[when]


def call(cloudwatch: CloudWatch, target: Instance, *times: datetime, metric: str = USE, calls: float = 1) -> None:
    """IMDSv1 calls, in the datapoint stamped with the given time."""
    for when in times:
        cloudwatch.add(metric, target.arn.instance_id, when, calls)


def look(
    cloudwatch: CloudWatch,
    target: Instance,
    policy: Policy = POLICY,
    now: datetime = NOW,
    history: History = UNKNOWN,
) -> Evidence:
    """The evidence of one instance."""
    return gather(cloudwatch.client, [target], {target.arn: history}, policy, now)[target.arn]


def look_at_all(
    cloudwatch: CloudWatch, targets: Iterable[Instance], policy: Policy = POLICY, now: datetime = NOW
) -> list[Evidence]:
    """The evidence of several, of which the ledger knows nothing, in their order."""
    known = {target.arn: target for target in targets}
    seen = gather(cloudwatch.client, known.values(), dict.fromkeys(known, UNKNOWN), policy, now)
    return [seen[arn] for arn in known]


def verdict_on(
    cloudwatch: CloudWatch,
    target: Instance,
    policy: Policy = POLICY,
    now: datetime = NOW,
    history: History = UNKNOWN,
) -> Verdict:
    """The verdict on one instance, from its evidence."""
    return decide(target, look(cloudwatch, target, policy, now, history), history, policy, now)


def started(cloudwatch: CloudWatch, launched_at: datetime, end: datetime = NOW, **fields: object) -> Instance:
    """An instance with a quiet past that was started at a time, and reported all along."""
    target = instance(launched_at=launched_at, first_launched_at=NOW - 100 * DAY, **fields)
    report(cloudwatch, target, NOW - 100 * DAY, end)
    return target


def start_seen(cloudwatch: CloudWatch, target: Instance, now: datetime = NOW, history: History = UNKNOWN) -> Start:
    """What was seen of its last start."""
    seen = look(cloudwatch, target, now=now, history=history).start
    assert seen is not None
    return seen
