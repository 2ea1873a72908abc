"""AWS's list prices, and what AWS publishes about the cost of its own solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Usage = dict[str, float]
"""How many of each unit in `PRICES`."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD for so many of a unit."""

    usd: float
    per: float
    unit: str
    source: str

    @property
    def each(self) -> float:
        return self.usd / self.per


PRICED_ON = "2026-11-22"
PRICES = {
    "gb_seconds": Price(usd=0.0000133334, per=1, unit="GB-second of Lambda, arm64", source="lambda"),
    "invocations": Price(usd=0.20, per=1e6, unit="Lambda requests", source="lambda"),
    "queue_requests": Price(usd=0.40, per=1e6, unit="SQS requests", source="sqs"),
    "write_units": Price(usd=0.625, per=1e6, unit="DynamoDB write units, on demand", source="dynamodb"),
    "items_read": Price(usd=0.125, per=1e6, unit="DynamoDB read units, on demand", source="dynamodb"),
    "metrics": Price(usd=0.01, per=1e3, unit="metrics requested by GetMetricData", source="cloudwatch"),
    "listings": Price(usd=0.01, per=1e3, unit="requests of ListMetrics", source="cloudwatch"),
    "log_bytes": Price(usd=0.50, per=1e9, unit="bytes of logs ingested", source="cloudwatch"),
    "publishes": Price(usd=0.50, per=1e6, unit="SNS publishes", source="sns"),
    "key_requests": Price(usd=0.03, per=1e4, unit="KMS requests", source="kms"),
    "traces": Price(usd=5.0, per=1e6, unit="traces of X-Ray", source="xray"),
    "transitions": Price(usd=25.0, per=1e6, unit="Step Functions transitions", source="step-functions"),
    "schedules": Price(usd=1.0, per=1e6, unit="Scheduler invocations", source="eventbridge"),
    # What AWS's services send is free, also what they send to the default bus; sent on to another bus, it is billed as custom events are
    # (AWS's announcement of 2021-05-19).
    "bus_events": Price(usd=1.0, per=1e6, unit="custom or forwarded events of EventBridge", source="eventbridge"),
    "keys": Price(usd=1.0, per=1, unit="KMS key a month", source="kms"),
    "alarms": Price(usd=0.10, per=1, unit="metric of an alarm a month", source="cloudwatch"),
    "custom_metrics": Price(usd=0.30, per=1, unit="custom metric a month", source="cloudwatch"),
    "dashboards": Price(usd=3.0, per=1, unit="dashboard a month", source="cloudwatch"),
    "stored_bytes": Price(usd=0.45, per=1e9, unit="bytes in DynamoDB including backup, a month", source="dynamodb"),
}
"""List prices, us-east-1, without the free tier."""

PUBLISHED = {300: 3.33, 3_000: 26.83, 30_000: 261.90}
"""Automated Security Response on AWS: remediations a month and USD, from the cost page of its implementation guide."""
PUBLISHED_AT = "https://docs.aws.amazon.com/solutions/latest/automated-security-response-on-aws/cost.html"
QUOTED_AT = (
    "https://aws-gcr-wwso-security.gitbook.io/an-quan-zui-jia-shi-jian/an-quan-chan-pin-cheng-ben-gu-suan/"
    "an-quan-he-gui-chi-xu-jian-ce-he-zi-dong-xiu-fu-fei-yong"
)


def usd(usage: Mapping[str, float]) -> float:
    """What units cost."""
    return sum(number * PRICES[unit].each for unit, number in usage.items())
