"""Asks CloudTrail which software used credentials that IMDSv1 delivered to an instance. It needs nothing on the instance.

CloudTrail knows sessions of an instance's role by the instance's id as the user name, and says in `ec2RoleDelivery` which version of the
metadata service delivered the credentials (CloudTrail User Guide, userIdentity element). LookupEvents has management events of 90 days of
one Region.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from imdsv2.aws.pages import pages
from imdsv2.culprit.deliveries import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_EVENTS = 50
PAGES = 6
"""300 events of each instance, the newest first: two requests a second are allowed in each account and Region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """What CloudTrail remembers of an instance. ``by_v1``: the calls with credentials that IMDSv1 delivered; ``by_v2``: how many were made
    with those that IMDSv2 did; ``unsaid``: how many do not say. ``since``: the events were looked at from then on; None where all were."""

    by_v1: Sequence[Delivery] = field(default_factory=tuple)
    by_v2: int = 0
    unsaid: int = 0
    since: datetime | None = None


def read_deliveries(cloudtrail: Any, instance_id: str, since: datetime, until: datetime) -> Deliveries:
    """The newest events of an instance between two times. Raises ClientError, BotoCoreError or QuotaExhausted."""
    request: dict[str, Any] = {
        "LookupAttributes": [{"AttributeKey": "Username", "AttributeValue": instance_id}],
        "StartTime": since,
        "EndTime": until,
        "MaxResults": _EVENTS,
    }
    by_v1: list[Delivery] = []
    by_v2 = unsaid = 0
    oldest: datetime | None = None
    page: Mapping[str, Any] = {}
    for page in islice(pages(cloudtrail.lookup_events, **request), PAGES):
        for event in page.get("Events", []):
            oldest = event.get("EventTime") or oldest
            record = _record(event)
            match _delivered_by(record, instance_id):
                case "1.0":
                    by_v1.append(_delivery(event, record))
                case "2.0":
                    by_v2 += 1
                case _:
                    unsaid += 1
    return Deliveries(by_v1=by_v1, by_v2=by_v2, unsaid=unsaid, since=oldest if page.get("NextToken") else None)


def _delivered_by(record: Mapping[str, Any], instance_id: str) -> str | None:
    """The version of the metadata service. Somebody else's session may bear any name, but has no such attribute."""
    identity = _object(record, "userIdentity")
    if not str(identity.get("arn", "")).endswith(f"/{instance_id}"):
        return None
    delivered = _object(identity, "sessionContext").get("ec2RoleDelivery")
    return str(delivered) if delivered is not None else None


def _delivery(event: Mapping[str, Any], record: Mapping[str, Any]) -> Delivery:
    source = str(record.get("eventSource") or "").partition(".")[0]
    return Delivery(
        at=event["EventTime"],
        user_agent=str(record.get("userAgent") or ""),
        call=f"{source}:{record.get('eventName') or ''}",
    )


def _record(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event as CloudTrail recorded it; empty for one that cannot be read, or that has no time."""
    try:
        record = json.loads(event.get("CloudTrailEvent") or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) and "EventTime" in event else {}


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name)
    return value if isinstance(value, dict) else {}
