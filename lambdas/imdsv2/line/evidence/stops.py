"""When stopped instances stopped: by EC2's word, else by their last sign of life."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import UTILIZATION, read
from imdsv2.domain.evidence.hours import HOUR, Hours, at
from imdsv2.domain.evidence.values import Evidence
from imdsv2.domain.evidence.weighing import day_with, problem_of
from imdsv2.domain.evidence.window import MEMORY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.domain.policy import Policy

_DAY = 24 * HOUR


def stop_times(
    cloudwatch: CloudWatchClient, instances: Mapping[InstanceArn, Instance], policy: Policy, now: datetime
) -> tuple[dict[InstanceArn, datetime], dict[InstanceArn, Evidence]]:
    """When the stopped ones of some instances stopped; and the evidence of those of which it cannot be known, or lies before
    everything that CloudWatch remembers."""
    stopped = {arn: each for arn, each in instances.items() if each.state == "stopped"}
    stops = {arn: each.stopped_at for arn, each in stopped.items() if each.stopped_at is not None}
    silent = {arn: each for arn, each in stopped.items() if arn not in stops}
    oldest = now - MEMORY
    days = read(
        cloudwatch,
        UTILIZATION,
        {
            arn: Hours(day_with(max(each.launched_at, oldest)), Hours.touching(oldest, now).end)
            for arn, each in silent.items()
        },
        period=_DAY,
    )
    lived = {arn: max(series.values) for arn, series in days.items() if series.values and series.problem is None}
    hours = read(cloudwatch, UTILIZATION, {arn: Hours(day, day + 24) for arn, day in lived.items()}, period=HOUR)
    stops |= {arn: at(max(series.values) + 1) for arn, series in hours.items() if series.values}
    unknown: dict[InstanceArn, Evidence] = {}
    for arn, each in stopped.items():
        problem, passes = problem_of(days.get(arn), hours.get(arn))
        too_long = (arn in stops and stops[arn] < oldest) or (arn not in stops and each.launched_at < oldest)
        if problem is None and arn in stops and not too_long:
            continue
        unknown[arn] = Evidence(
            window_start=now - timedelta(days=policy.lookback_days),
            window_end=now,
            window_known=False,
            stopped_too_long=problem is None and too_long,
            problem=problem,
            passes=passes,
        )
    return stops, unknown
