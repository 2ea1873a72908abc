"""Reads the signs of instances since enforcement: rejected calls, and whether they ran."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, TOKENLESS_CALLS, UTILIZATION, read
from imdsv2.domain.evidence.hours import Hours
from imdsv2.domain.evidence.window import FINE, FINE_MEMORY
from imdsv2.domain.health import Signs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.domain.evidence.hours import Series
    from imdsv2.domain.instance import InstanceArn


@dataclass(frozen=True, slots=True)
class Begin:
    """The start of a watch: running time counts from ``watch`` on, rejected calls count from ``count`` on."""

    watch: datetime
    count: datetime


def gather_signs(
    cloudwatch: CloudWatchClient, begins: Mapping[InstanceArn, Begin], ripe: AbstractSet[InstanceArn], now: datetime
) -> dict[InstanceArn, Signs]:
    """Read the signs of instances of one account and Region. Periods are short, so that what was refused before a watch began
    in the same hour does not count, and because a pattern is made of them.

    Args:
        begins: the start of each instance's watch.
        ripe: the instances whose watch might end now; only for these, running hours are read.
        now: the end of the time range.

    A failed or incomplete answer becomes signs with a ``problem``, never an exception.
    """
    oldest = now - FINE_MEMORY
    rejected = read(
        cloudwatch,
        REJECTED_CALLS,
        {arn: Hours.touching(max(begin.count, oldest), now) for arn, begin in begins.items()},
        period=FINE,
    )
    ran = read(cloudwatch, UTILIZATION, {arn: Hours.inside(begins[arn].watch, now) for arn in ripe})
    return {arn: _signs(begin, rejected[arn], ran.get(arn), now) for arn, begin in begins.items()}


def hours_of_use(
    cloudwatch: CloudWatchClient, spans: Mapping[InstanceArn, tuple[datetime, datetime]]
) -> dict[InstanceArn, list[int]]:
    """The hours (whole numbers since 1970) in which instances of one account and Region called IMDSv1 between two times.

    What cannot be read is left out: it is asked in order to find one more reason for calling something breakage.
    """
    read_ = read(cloudwatch, TOKENLESS_CALLS, {arn: Hours.touching(*span) for arn, span in spans.items()})
    return {arn: [hour for hour, calls in series.values.items() if calls] for arn, series in read_.items()}


def _signs(begin: Begin, rejected: Series, ran: Series | None, now: datetime) -> Signs:
    # Every period that touches the watch counts, and so does the one in which it began.
    first = math.floor(begin.count.timestamp() / FINE) * FINE
    refused = {
        datetime.fromtimestamp(second, UTC): math.ceil(value)
        for second, value in sorted(rejected.values.items())
        if value and second >= first
    }
    alive = [hour for hour in Hours.inside(begin.watch, now) if hour in ran.values] if ran else []
    return Signs(
        refused=refused,
        alive_hours=len(alive),
        alive_lately=bool(alive) and alive[-1] == Hours.inside(begin.watch, now).end - 1,
        problem=rejected.problem or (ran.problem if ran else None),
    )
