"""Asks CloudTrail which launches it remembers: 90 days of an account and Region, two requests a second."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from imdsv2.aws.pages import listed, pages
from imdsv2.source.effect import OPTIONAL
from imdsv2.source.readiness import PastLaunch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_EVENTS = 50
PAGES = 40
"""2,000 launches, the newest first; a place that launches more of them is told to be looked at in part."""


def read_past_launches(cloudtrail: Any, since: datetime, until: datetime) -> tuple[list[PastLaunch], bool]:
    """Launches that succeeded between two times, and whether these are all. Raises ClientError or BotoCoreError."""
    request: dict[str, Any] = {
        "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "RunInstances"}],
        "StartTime": since,
        "EndTime": until,
        "MaxResults": _EVENTS,
    }
    found: list[PastLaunch] = []
    page: Mapping[str, Any] = {}
    for page in islice(pages(cloudtrail.lookup_events, **request), PAGES):
        found += [launch for each in listed(page, "Events") if (launch := _launch(each)) is not None]
    return found, not page.get("NextToken")


def _launch(event: Mapping[str, Any]) -> PastLaunch | None:
    """None for a launch that failed, a dry run included, and for a record that cannot be read as one."""
    try:
        told = json.loads(event.get("CloudTrailEvent") or "{}")
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.get("errorCode") or "EventTime" not in event:
        return None
    asked, identity = _object(told, "requestParameters"), _object(told, "userIdentity")
    template = _object(asked, "launchTemplate")
    return PastLaunch(
        at=event["EventTime"],
        principal=str(identity.get("arn") or identity.get("invokedBy") or event.get("Username") or "unknown"),
        user_agent=str(told.get("userAgent") or ""),
        tokens=_text(_object(asked, "metadataOptions").get("httpTokens")),
        template=_text(template.get("launchTemplateId") or template.get("launchTemplateName")),
        version=_text(template.get("version")),
        given=_given(_object(_object(told, "responseElements"), "instancesSet").get("items")),
    )


def _given(items: Any) -> str | None:
    """What EC2 put in force on the launched instances, whoever said it: the launch, its template, a default or the AMI. None where the
    event does not tell."""
    shown = [_object(each, "metadataOptions").get("httpTokens") for each in items or () if isinstance(each, dict)]
    return OPTIONAL if OPTIONAL in shown else _text(next(iter(shown), None))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name)
    return value if isinstance(value, dict) else {}
