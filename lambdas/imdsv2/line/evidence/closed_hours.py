"""Hours in which tokens were required: nothing tells of accepted calls then, and refused ones would show. Where it demonstrably ran
and none was refused, it was observed to make none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import TOKENLESS_CALLS, UTILIZATION, read
from imdsv2.domain.evidence.hours import HOUR, Hours, at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import Instance, InstanceArn


def with_closed_hours(
    cloudwatch: CloudWatchClient,
    closed: Mapping[InstanceArn, Instance],
    histories: Mapping[InstanceArn, History],
    evidence: Mapping[InstanceArn, Evidence],
    since: datetime,
) -> dict[InstanceArn, Evidence]:
    """The evidence with the hours since the service required tokens.

    Args:
        cloudwatch: of their account and Region.
        closed: instances of which no call was refused since, or was until they ended.
        histories: when tokens were required.
        evidence: as it was read of their open hours. Should CloudWatch tell of accepted calls in closed hours as well, none counts
            twice.
        since: the beginning of the cohort's window.
    """
    spans = {}
    for arn in closed:
        closed_at, known = histories[arn].enforced_at, evidence[arn]
        if closed_at is not None and known.problem is None and closed_at < known.window_end:
            spans[arn] = Hours.inside(max(closed_at, known.window_start), known.window_end)
    spans = {arn: span for arn, span in spans.items() if len(span)}
    ran, told = (read(cloudwatch, metric, spans, period=HOUR) for metric in (UTILIZATION, TOKENLESS_CALLS))
    return {
        arn: _with(
            evidence[arn], [hour for hour in span if hour in ran[arn].values and hour not in told[arn].values], since
        )
        for arn, span in spans.items()
        if ran[arn].problem is None and told[arn].problem is None
    }


def _with(known: Evidence, hours: Sequence[int], since: datetime) -> Evidence:
    """Evidence with so many observed hours more."""
    lately = sum(at(hour) >= since for hour in hours)
    return replace(
        known,
        observed_hours=known.observed_hours + len(hours),
        hours_lately=None if known.hours_lately is None else known.hours_lately + lately,
    )
