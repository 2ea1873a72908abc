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
_REMEMBERED = timedelta(days=20)


def run(cloudwatch: CloudWatch, instance_id: str, start: datetime, end: datetime) -> None:
    """An instance runs between two times, and reports every hour, for at most the last twenty days."""
    hour = hour_of(max(start, end - _REMEMBERED))
    while hour <= end:
        cloudwatch.put(UTILIZATION, instance_id, hour, 2.5)
        if hour not in cloudwatch.points.get((TOKENLESS, instance_id), {}):
            cloudwatch.put(TOKENLESS, instance_id, hour, 0.0)
        hour += HOUR


def call_without_token(cloudwatch: CloudWatch, instance: Instance, now: datetime) -> bool | None:
    """The software of an instance calls IMDSv1. Returns whether that was answered; None where nothing could call or hear."""
    if instance.state != "running" or instance.options["HttpEndpoint"] != "enabled":
        return None
    if instance.options["HttpTokens"] == "optional":
        cloudwatch.add(TOKENLESS, instance.instance_id, hour_of(now), 1.0)
        return True
    cloudwatch.add(REJECTED, instance.instance_id, now.replace(second=0, microsecond=0), 1.0)
    return False
