"""Asks CloudTrail who launched instances. It keeps 90 days, and takes two requests a second in an account and Region."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from imdsv2.aws.pages import pages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn

_EVENTS = 50
"""Events of one instance that are looked through: the launch is the oldest, but most instances have few."""
_PAGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """Who launched an instance: the principal's ARN, with the name of its session; with what, and when."""

    instance: InstanceArn
    principal: str
    at: datetime | None
    user_agent: str = ""


def read_launchers(cloudtrail: Any, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Launcher]:
    """Who launched each instance; those whose launch CloudTrail does not show are left out. Raises ClientError or BotoCoreError."""
    found = {}
    for arn in arns:
        event = _launch_of(cloudtrail, arn.instance_id)
        if event is not None:
            found[arn] = _launcher(arn, event)
    return found


def _launch_of(cloudtrail: Any, instance_id: str) -> Mapping[str, Any] | None:
    request: dict[str, Any] = {
        "LookupAttributes": [{"AttributeKey": "ResourceName", "AttributeValue": instance_id}],
        "MaxResults": _EVENTS,
    }
    for page in islice(pages(cloudtrail.lookup_events, **request), _PAGES):
        for each in page.get("Events", []):
            if each.get("EventName") == "RunInstances":
                event: Mapping[str, Any] = each
                return event
    return None


def _launcher(arn: InstanceArn, event: Mapping[str, Any]) -> Launcher:
    try:
        told = json.loads(event.get("CloudTrailEvent") or "{}")
    except ValueError:
        told = {}
    record = told if isinstance(told, dict) else {}
    user = record.get("userIdentity")
    identity = user if isinstance(user, dict) else {}
    return Launcher(
        instance=arn,
        principal=str(identity.get("arn") or identity.get("invokedBy") or event.get("Username") or "unknown"),
        at=event.get("EventTime"),
        user_agent=str(record.get("userAgent") or ""),
    )
