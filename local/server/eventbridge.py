"""EventBridge beyond ministack: events of AWS services from anybody, and rules that send to a bus of another account or Region.

AWS lets nobody but its services use a source `aws.*`; here everybody may, so that tests can send what AWS would. A rule needs a
role that may put events on the other bus, and a bus takes events from another account only where its policy allows that role to
(conditions on the organisation, `events:source` and the like are judged too). What is refused goes to the target's dead-letter
queue.
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
    within_place = bridge._invoke_target

    def invoke(target: Record, event: Record, rule: Record, view: Any = None) -> None:
        if not _is_bus_elsewhere(target["Arn"]):
            within_place(target, event, rule, view)
        elif not _deliver(target, event) and "DeadLetterConfig" in target:
            whole = (view or bridge._pattern_event_view(event)).event_with_detail()
            bridge._dispatch_to_sqs(bridge.parse_arn(target["DeadLetterConfig"]["Arn"]), json.dumps(whole))

    bridge._invoke_target = invoke


def _is_bus_elsewhere(arn: str) -> bool:
    _, _, service, region, account, resource = arn.split(":", 5)
    elsewhere = (account, region) != (ms.account_id(), ms.region())
    return service == "events" and resource.startswith("event-bus/") and elsewhere


def _deliver(target: Record, event: Record) -> bool:
    """Put an event on a bus elsewhere; false where that is not allowed, or there is no such bus."""
    bus_arn, role_arn = target["Arn"], target.get("RoleArn", "")
    _, _, _, region, account, resource = bus_arn.split(":", 5)
    sender, bus = ms.account_id(), resource.partition("/")[2]
    # The event keeps the account and Region that it came from.
    forwarded = {"Account": sender, "Region": ms.region(), **event, "EventBusName": bus}
    context = _context(sender, role_arn, bus_arn, event)
    with ms.acting_in(account, region):
        if bus == "default":
            ms.eventbridge._ensure_default_bus()
        taken = bus in ms.BUSES and _may_send(context, role_arn) and (sender == account or _takes(bus, context))
        if taken:
            ms.eventbridge._dispatch_event(forwarded)
        else:
            ms.eventbridge.logger.warning("Event bus %s took nothing from account %s", bus_arn, sender)
    return taken


def _context(sender: str, role_arn: str, bus_arn: str, event: Record) -> Any:
    return ms.iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{sender}:assumed-role/{role_arn.rpartition('/')[2]}/events",
        principal_type="AssumedRole",
        principal_account=sender,
        action="events:PutEvents",
        resource_arn=bus_arn,
        region=ms.region(),
        service_context={"events:source": event.get("Source", ""), "events:detail-type": event.get("DetailType", "")},
    )


def _may_send(context: Any, role_arn: str) -> bool:
    """Whether the rule's role has leave to; a rule without a role sends nothing to another place."""
    policies = ms.iam_evaluator._gather_role_policies(role_arn.rpartition("/")[2], context.principal_account)
    return bool(ms.iam_evaluator.evaluate(context, policies).decision == "Allow")


def _takes(bus: str, context: Any) -> bool:
    policy = json.dumps(ms.BUS_POLICIES.get(bus, {}))
    return bool(ms.iam_evaluator.evaluate_resource_policy(policy, context).decision == "Allow")
