"""Which instances an Auto Scaling group has launched and ended. IAM: ``autoscaling:DescribeScalingActivities`` for the read role."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from imdsv2.aws.pages import pages

if TYPE_CHECKING:
    from datetime import datetime

ACTIVITIES_KEPT_DAYS = 42
"""AWS keeps the activities of six weeks."""
MOST_PAGES = 50
"""So many pages of a hundred activities are read, the newest first."""

_ACTIVITIES_A_PAGE = 100
_LAUNCHED = re.compile(r"Launching a new EC2 instance(?: [^:]*)?: (i-[0-9a-f]{8,17})", re.ASCII)
_ENDED = re.compile(r"Terminating EC2 instance(?: [^:]*)?: (i-[0-9a-f]{8,17})", re.ASCII)
"""Of a warm pool the words are "into warm pool", "from warm pool"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What a group did, by instance id: when it launched what, at first into its warm pool where it has one, and when it began to end
    what."""

    launched: dict[str, datetime] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)


def scaling_of(autoscaling: Any, group: str, since: datetime) -> Scaling:
    """What a group did since then, as far back as AWS keeps it. Raises ClientError, BotoCoreError or QuotaExhausted."""
    found = Scaling()
    request: dict[str, Any] = {"AutoScalingGroupName": group, "MaxRecords": _ACTIVITIES_A_PAGE}
    for page in islice(pages(autoscaling.describe_scaling_activities, **request), MOST_PAGES):
        activities = page.get("Activities", [])
        for each in activities:
            _note(found, each)
        if activities and activities[-1]["StartTime"] < since:
            break
    return found


def _note(found: Scaling, activity: dict[str, Any]) -> None:
    description = str(activity.get("Description", ""))
    launched, ended = _LAUNCHED.match(description), _ENDED.match(description)
    if launched is not None:
        found.launched[launched[1]] = activity["StartTime"]
    if ended is not None:
        # It may run for some time yet, until hooks and connections are done.
        found.ended[ended[1]] = activity.get("EndTime") or activity["StartTime"]
