"""EventBridge beyond ministack: events of AWS services from anybody, and rules that send to a bus of another account or Region.

AWS lets nobody but its services use a source `aws.*`; here everybody may, so that tests can send what AWS would. A bus takes events
from another account only where its policy allows `events:PutEvents` (conditions on `events:source` and the like are judged too).
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from local.server import platform as ms

if TYPE_CHECKING:
    from local.server.platform import Record


def install() -> None:
    """Replace what PutEvents and bus targets do in ministack."""
    bridge = ms.eventbridge
    bridge._put_events = partial(bridge._put_events, allow_aws_source=True)
    within_account = bridge._dispatch_to_event_bus

    def dispatch(spec: Any, event: Record, rule: Record, event_path: set[str], payload: str | None = None) -> None:
        if (spec.account_id, spec.region) == (ms.account_id(), ms.region()):
            within_account(spec, event, rule, event_path, payload)
        else:
            _deliver(spec, event)

    bridge._dispatch_to_event_bus = dispatch


def _deliver(spec: Any, event: Record) -> None:
    sender, bus = ms.account_id(), spec.resource.partition("/")[2]
    # The event keeps the account and Region that it came from.
    forwarded = {"Account": sender, "Region": ms.region(), **event, "EventBusName": bus}
    with ms.acting_in(spec.account_id, spec.region):
        if bus == "default":
            ms.eventbridge._ensure_default_bus()
        if bus in ms.BUSES and (sender == spec.account_id or _allows(bus, str(spec), sender, event)):
            ms.eventbridge._dispatch_event(forwarded)
        else:
            ms.eventbridge.logger.warning("Event bus %s took nothing from account %s", spec, sender)


def _allows(bus: str, arn: str, sender: str, event: Record) -> bool:
    context = ms.iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{sender}:root",
        principal_type="Root",
        principal_account=sender,
        action="events:PutEvents",
        resource_arn=arn,
        region=ms.region(),
        service_context={"events:source": event.get("Source", ""), "events:detail-type": event.get("DetailType", "")},
    )
    policy = json.dumps(ms.BUS_POLICIES.get(bus, {}))
    return bool(ms.iam_evaluator.evaluate_resource_policy(policy, context).decision == "Allow")
