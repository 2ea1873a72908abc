"""What instances do by themselves: they publish metrics while they run, and their software calls the metadata service."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.world.cloudwatch import HOUR, hour_of

if TYPE_CHECKING:
    from datetime import datetime

    from tests.world.cloudwatch import CloudWatch
    from tests.world.ec2 import Instance

TOKENLESS, REJECTED, UTILIZATION = "MetadataNoToken", "MetadataNoTokenRejected", "CPUUtilization"
PERIOD = timedelta(minutes=5)
_REMEMBERED = timedelta(days=20)
START = timedelta(hours=2)


def run(cloudwatch: CloudWatch, instance_id: str, start: datetime, end: datetime, started_at: datetime) -> None:
    """An instance runs between two times, and reports every hour, for at most the last twenty days; in the two hours after its
    last start every five minutes, as real ones always do."""
    known = cloudwatch.points.setdefault((TOKENLESS, instance_id), {})
    hour = hour_of(max(start, end - _REMEMBERED))
    while hour <= end:
        cloudwatch.put(UTILIZATION, instance_id, hour, 2.5)
        if hour not in known:
            cloudwatch.put(TOKENLESS, instance_id, hour, 0.0)
        hour += HOUR
    period = period_of(max(start, started_at))
    while period <= min(end, started_at + START):
        if period not in known:
            cloudwatch.put(TOKENLESS, instance_id, period, 0.0)
        period += PERIOD


def period_of(when: datetime) -> datetime:
    """The beginning of the five minutes of a time."""
    return hour_of(when) + (when - hour_of(when)) // PERIOD * PERIOD


def call_without_token(cloudwatch: CloudWatch, instance: Instance, now: datetime) -> bool | None:
    """The software of an instance calls IMDSv1. Returns whether that was answered; None where nothing could call or hear."""
    if instance.state != "running" or instance.options["HttpEndpoint"] != "enabled":
        return None
    if instance.options["HttpTokens"] == "optional":
        cloudwatch.add(TOKENLESS, instance.instance_id, period_of(now), 1.0)
        return True
    refuse(cloudwatch, instance.instance_id, now)
    return False


def refuse(cloudwatch: CloudWatch, instance_id: str, when: datetime) -> None:
    """A call without a token is refused."""
    cloudwatch.add(REJECTED, instance_id, when.replace(second=0, microsecond=0), 1.0)
