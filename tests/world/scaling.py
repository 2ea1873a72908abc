"""EC2 Auto Scaling in memory: what the groups of one account and Region have launched and ended, as far as EC2 still shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from tests.world.ec2 import Ec2

_GROUP = "aws:autoscaling:groupName"


class Scaling:
    """One account and Region. Its call has boto3's name and arguments."""

    def __init__(self, ec2: Ec2[Any]) -> None:
        self._ec2 = ec2

    def describe_scaling_activities(
        self,
        *,
        AutoScalingGroupName: str,  # noqa: N803 - AWS's names
        MaxRecords: int = 100,  # noqa: N803
        NextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        """A launch for each instance of the group, and an end for those that are terminated, the newest first."""
        activities: list[tuple[datetime, str]] = []
        for instance_id, each in self._ec2.with_tag(_GROUP, AutoScalingGroupName):
            activities.append((each.first_launched_at, f"Launching a new EC2 instance: {instance_id}"))
            if each.state == "terminated" and each.stopped_at is not None:
                activities.append((each.stopped_at, f"Terminating EC2 instance: {instance_id}"))
        activities.sort(reverse=True)
        first = int(NextToken)
        page = [
            {
                "ActivityId": f"{when:%s}{text[-8:]}",
                "AutoScalingGroupName": AutoScalingGroupName,
                "Description": text,
                "Cause": "Its size changed.",
                "StatusCode": "Successful",
                "StartTime": when,
                "EndTime": when,
            }
            for when, text in activities[first : first + MaxRecords]
        ]
        left = first + MaxRecords < len(activities)
        return {"Activities": page} | ({"NextToken": str(first + MaxRecords)} if left else {})
