"""CloudTrail's event history of one account and Region in memory: the requests that rebooted instances."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime


class Trail:
    """Its call has boto3's name and arguments. ``reboots``: of each request, when it came and what it named."""

    def __init__(self, reboots: Iterable[tuple[datetime, str]] = ()) -> None:
        self.reboots = list(reboots)

    def remembered(self) -> Iterable[tuple[datetime, str]]:
        """The requests that there were, in any order."""
        return self.reboots

    def lookup_events(
        self,
        *,
        LookupAttributes: Sequence[Mapping[str, str]],  # noqa: N803 - AWS's names
        StartTime: datetime,  # noqa: N803
        EndTime: datetime,  # noqa: N803
        MaxResults: int = 50,  # noqa: N803
        NextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        """Reboots in a range of time, the newest first."""
        assert [{"AttributeKey": "EventName", "AttributeValue": "RebootInstances"}] == list(LookupAttributes)
        known = sorted((each for each in self.remembered() if StartTime <= each[0] <= EndTime), reverse=True)
        first, end = int(NextToken), int(NextToken) + MaxResults
        further = {"NextToken": str(end)} if end < len(known) else {}
        return {"Events": [reboot_event(at, instance_id) for at, instance_id in known[first:end]], **further}


def reboot_event(at: datetime, *instance_ids: str, **told: Any) -> dict[str, Any]:
    """A request to reboot instances, as CloudTrail's API tells of it."""
    items = [{"instanceId": each} for each in instance_ids]
    written = {
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RebootInstances",
        "requestParameters": {"instancesSet": {"items": items}},
        "responseElements": {"_return": True},
        **told,
    }
    return {"EventName": "RebootInstances", "EventTime": at, "CloudTrailEvent": json.dumps(written)}
