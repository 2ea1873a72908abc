"""Reads the signs of instances since enforcement: rejected calls, and whether they ran."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, UTILIZATION, read
from imdsv2.domain.health import Signs
from imdsv2.domain.hours import Hours

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.domain.hours import Series
    from imdsv2.domain.instance import InstanceArn

_PERIOD = 300
"""Seconds. Short, so that calls rejected in the same hour but before the watch began do not count."""
_REMEMBERED = timedelta(days=62)
"""CloudWatch keeps five-minute datapoints for 63 days."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The start of a watch: running time counts from ``watch`` on, rejected calls count from ``count`` on."""

    watch: datetime
    count: datetime


def gather_signs(
    cloudwatch: CloudWatchClient, begins: Mapping[InstanceArn, Begin], ripe: AbstractSet[InstanceArn], now: datetime
) -> dict[InstanceArn, Signs]:
    """Read the signs of instances of one account and Region.

    Args:
        begins: the start of each instance's watch.
        ripe: the instances whose watch might end now; only for these, running hours are read.
        now: the end of the time range.

    A failed or incomplete answer becomes signs with a ``problem``, never an exception.
    """
    oldest = now - _REMEMBERED
    rejected = read(
        cloudwatch,
        REJECTED_CALLS,
        {arn: Hours.touching(max(begin.count, oldest), now) for arn, begin in begins.items()},
        period=_PERIOD,
    )
    ran = read(cloudwatch, UTILIZATION, {arn: Hours.inside(begins[arn].watch, now) for arn in ripe})
    return {arn: _signs(begin, rejected[arn], ran.get(arn), now) for arn, begin in begins.items()}


def _signs(begin: Begin, rejected: Series, ran: Series | None, now: datetime) -> Signs:
    # Every period that overlaps the watch counts, including the one in which it began.
    first = math.floor(begin.count.timestamp() / _PERIOD) * _PERIOD
    refused = {second: value for second, value in rejected.values.items() if value and second >= first}
    problem = rejected.problem or (ran.problem if ran else None)
    return Signs(
        rejected_calls=math.ceil(sum(refused.values())),
        last_rejected_call=datetime.fromtimestamp(max(refused), UTC) if refused else None,
        alive_hours=sum(hour in ran.values for hour in Hours.inside(begin.watch, now)) if ran else 0,
        problem=problem,
    )
