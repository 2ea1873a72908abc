"""Hours in which tokens were required: nothing tells of accepted calls then, and refused ones would show. Where it demonstrably ran
and none was refused, it was observed to make none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import UTILIZATION, read
from imdsv2.domain.hours import HOUR, Hours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.domain.evidence import Evidence
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import Instance, InstanceArn


def with_closed_hours(
    cloudwatch: CloudWatchClient,
    closed: Mapping[InstanceArn, Instance],
    histories: Mapping[InstanceArn, History],
    evidence: Mapping[InstanceArn, Evidence],
) -> dict[InstanceArn, Evidence]:
    """The evidence with the hours since the service required tokens.

    Args:
        cloudwatch: of their account and Region.
        closed: instances of which no call was refused since, or was until they ended.
        histories: when tokens were required.
        evidence: as it was read of their open hours. Should CloudWatch tell of accepted calls in closed hours as well, none counts
            twice.
    """
    spans = {}
    for arn in closed:
        since, known = histories[arn].enforced_at, evidence[arn]
        if since is not None and known.problem is None and since < known.window_end:
            spans[arn] = Hours.inside(max(since, known.window_start), known.window_end)
    ran = read(cloudwatch, UTILIZATION, {arn: span for arn, span in spans.items() if len(span)}, period=HOUR)
    heard = {}
    for arn, series in ran.items():
        known, span = evidence[arn], spans[arn]
        if series.problem is not None:
            continue
        hours = sum(span.first <= hour < span.end for hour in series.values)
        heard[arn] = replace(
            known, observed_hours=max(known.observed_hours, hours + max(0, known.observed_hours - len(span)))
        )
    return heard
