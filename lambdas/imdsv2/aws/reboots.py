"""Asks CloudTrail when instances were rebooted through EC2. It keeps 90 days, and takes two requests a second in an account and Region.

A reboot from inside the operating system is in no event.
"""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from imdsv2.aws.pages import pages

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

MEMORY = timedelta(days=90)
_EVENTS = 50
PAGES = 10
"""500 requests, the newest first. A place that reboots more often is seen in part, and what is not seen changes nothing."""


def last_reboots(cloudtrail: Any, instance_ids: Collection[str], now: datetime) -> dict[str, datetime]:
    """When each instance of an account and Region was last rebooted by a request that EC2 accepted; those of which CloudTrail tells
    none are left out. Raises ClientError or BotoCoreError."""
    request: dict[str, Any] = {
        "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "RebootInstances"}],
        "StartTime": now - MEMORY,
        "EndTime": now,
        "MaxResults": _EVENTS,
    }
    found: dict[str, datetime] = {}
    for page in islice(pages(cloudtrail.lookup_events, **request), PAGES):
        for each in page.get("Events") or []:
            at = each.get("EventTime")
            for instance_id in _rebooted(each) & set(instance_ids) if at is not None and at <= now else ():
                found[instance_id] = max(at, found.get(instance_id, at))
        if len(found) == len(instance_ids):
            break
    return found


def _rebooted(event: Mapping[str, Any]) -> set[str]:
    """The instances that a request rebooted: none, if EC2 refused it or only tried it, or if the event cannot be read."""
    try:
        told = json.loads(event.get("CloudTrailEvent") or "{}")
    except ValueError:
        return set()
    if not isinstance(told, dict) or told.get("errorCode") or told.get("eventName") != "RebootInstances":
        return set()
    items = _object(_object(told, "requestParameters"), "instancesSet").get("items")
    named = [each.get("instanceId") for each in items if isinstance(each, dict)] if isinstance(items, list) else []
    return {each for each in named if isinstance(each, str)}


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name)
    return value if isinstance(value, dict) else {}
