"""Parses EventBridge events from the queue into requests.

Filters come first: an event with other valid values is ignored silently, as the event rules would ignore it. An event
that passes them must be complete; otherwise it is poison, and the error names the field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.node import Node, account_of, shown
from imdsv2.domain.request import Finding, Request, Source, SourceRequest
from imdsv2.domain.source_name import Named
from imdsv2.errors import MessagePoisoned
from imdsv2.intake.source_events import KIND_OF_TYPE, source_of_ids, source_of_resource, source_of_resource_v2

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.intake.event_names import EventNames

CONTROL = "EC2.8"
SOURCE_CONTROLS = {"EC2.170": Named.TEMPLATE_DEFAULT, "AutoScaling.3": Named.LAUNCH_CONFIGURATION}
"""Controls about what launches instances."""

_OWN_PRODUCT = "::product/aws/securityhub"
_OWN_PRODUCT_V2 = "::productv2/aws/securityhub"
_INSTANCE = "EC2 instance"
_Name = TypeVar("_Name")

_V2_OPEN = {1, 2}
"""OCSF status ids New and In Progress; the other ids mean suppressed, resolved or archived."""
_V2_SUPPRESSED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The requests in one message, and the errors in it. ``sources``: about what launches instances; ``started``: instances that
    began to run."""

    requests: list[Request] = field(default_factory=list)
    sources: list[SourceRequest] = field(default_factory=list)
    started: list[InstanceArn] = field(default_factory=list)
    poison: list[MessagePoisoned] = field(default_factory=list)


def parse(body: str, names: EventNames) -> Parsed:
    """Parse one queue message: an EventBridge event as JSON. Never raises; errors are in ``poison``."""
    try:
        event = Node(json.loads(body), "")
    except (ValueError, RecursionError) as error:
        return Parsed(poison=[MessagePoisoned("body", f"is not JSON ({type(error).__name__})")])
    try:
        kind = (event["source"].text(), event["detail-type"].text())
        return _KINDS.get(kind, _not_ours)(event, names)
    except MessagePoisoned as poison:
        return Parsed(poison=[poison])


def suppressed(finding: dict[str, Any], *, is_v2: bool) -> list[Request]:
    """The instances that a suppressed finding names, as requests of the sweep; none if it cannot be read."""
    node = Node(finding, "finding")
    try:
        parsed = _from_finding_v2(node, suppressed=True) if is_v2 else _from_finding(node, Source.CUSTOM_ACTION)
    except MessagePoisoned:
        return []
    return [replace(each, source=Source.SWEEP, suppressed=False) for each in parsed.requests]


def _not_ours(_: Node, __: EventNames) -> Parsed:
    return Parsed()


def _from_imported(event: Node, _: EventNames) -> Parsed:
    return _each_finding(event, lambda finding: _from_finding(finding, Source.SECURITYHUB))


def _from_custom_action(event: Node, names: EventNames) -> Parsed:
    action = next(event["resources"].items()).text()
    if not action.endswith(f":action/custom/{names.custom_action_id}"):
        return Parsed()
    return _each_finding(event, lambda finding: _from_finding(finding, Source.CUSTOM_ACTION))


def _from_imported_v2(event: Node, _: EventNames) -> Parsed:
    return _each_finding(event, _from_finding_v2)


def _each_finding(event: Node, read: Callable[[Node], Parsed]) -> Parsed:
    parsed = Parsed()
    for finding in event["detail"]["findings"].items():
        try:
            one = read(finding)
        except MessagePoisoned as poison:
            one = Parsed(poison=[poison])
        parsed.requests.extend(one.requests)
        parsed.sources.extend(one.sources)
        parsed.poison.extend(one.poison)
    return parsed


def _from_finding(finding: Node, source: Source) -> Parsed:
    product_arn = finding["ProductArn"].identifier()
    if not product_arn.endswith(_OWN_PRODUCT):
        return Parsed()
    control = finding["Compliance"]["SecurityControlId"].text()
    if control not in {CONTROL, *SOURCE_CONTROLS}:
        return Parsed()
    workflow = finding["Workflow"]["Status"].text()
    if source is Source.SECURITYHUB and (
        finding["Compliance"]["Status"].text() != "FAILED"
        or finding["RecordState"].text() != "ACTIVE"
        or workflow not in {"NEW", "NOTIFIED"}
    ):
        return Parsed()
    identity = Finding(
        id=finding["Id"].identifier(),
        product_arn=product_arn,
        region=_region_of(finding["ProductArn"]),
        updated_at=finding["UpdatedAt"].time(),
    )
    if kind := SOURCE_CONTROLS.get(control):
        names, poison = _each(
            finding["Resources"], _in_words(kind), lambda resource: source_of_resource(resource, kind)
        )
        sources = [SourceRequest(name=name, source=source, finding=identity) for name in names]
        return Parsed(sources=sources, poison=poison)
    arns, poison = _each(finding["Resources"], _INSTANCE, _instance)
    is_suppressed = workflow == "SUPPRESSED"
    requests = [Request(arn=arn, source=source, finding=identity, suppressed=is_suppressed) for arn in arns]
    return Parsed(requests=requests, poison=poison)


def _instance(resource: Node) -> InstanceArn | None:
    return resource["Id"].instance() if resource["Type"].text() == "AwsEc2Instance" else None


def _from_finding_v2(finding: Node, *, suppressed: bool = False) -> Parsed:
    product_arn = finding["metadata"]["product"]["uid"].identifier()
    if not product_arn.endswith(_OWN_PRODUCT_V2):
        return Parsed()
    control = finding["compliance"]["control"].text()
    if control not in {CONTROL, *SOURCE_CONTROLS}:
        return Parsed()
    is_wanted = finding["status_id"].number() in ({_V2_SUPPRESSED} if suppressed else _V2_OPEN)
    if finding["compliance"]["status"].text() != "Fail" or not is_wanted:
        return Parsed()
    info = finding["finding_info"]
    dated = _unless_null(info.get("modified_time_dt"))
    identity = Finding(
        id=info["uid"].identifier(),
        product_arn=product_arn,
        region=_region_of(finding["metadata"]["product"]["uid"]),
        updated_at=dated.time() if dated else info["modified_time"].milliseconds(),
    )
    if kind := SOURCE_CONTROLS.get(control):
        names, poison = _each(
            finding["resources"], _in_words(kind), lambda resource: source_of_resource_v2(resource, finding, kind)
        )
        sources = [SourceRequest(name=name, source=Source.SECURITYHUB_V2, finding=identity) for name in names]
        return Parsed(sources=sources, poison=poison)
    arns, poison = _each(finding["resources"], _INSTANCE, lambda resource: _instance_v2(resource, finding))
    requests = [Request(arn=arn, source=Source.SECURITYHUB_V2, finding=identity) for arn in arns]
    return Parsed(requests=requests, poison=poison)


def _unless_null(node: Node | None) -> Node | None:
    """A field of OCSF that may be null in place of absent."""
    return None if node is None or node.value is None else node


def _instance_v2(resource: Node, finding: Node) -> InstanceArn | None:
    """The instance's ARN from ``uid`` or ``uid_alt``, else assembled from its parts; None for another resource type."""
    if resource["type"].text() != "AWS::EC2::Instance":
        return None
    for key in ("uid", "uid_alt"):
        node = resource.get(key)
        if node is not None and isinstance(node.value, str) and node.value.startswith("arn:"):
            return node.instance()
    region = resource.given("region") or finding["cloud"]["region"]
    return _assemble(region, account_of(resource, finding), resource["uid"])


def _from_compliance_change(event: Node, names: EventNames) -> Parsed:
    detail = event["detail"]
    if (
        detail["messageType"].text() != "ComplianceChangeNotification"
        or not names.has_rule(detail["configRuleName"].text())
        or (checked := detail["resourceType"].text()) not in {"AWS::EC2::Instance", *KIND_OF_TYPE}
        or detail["newEvaluationResult"]["complianceType"].text() != "NON_COMPLIANT"
    ):
        return Parsed()
    if kind := KIND_OF_TYPE.get(checked):
        name = source_of_ids(detail["resourceId"], detail["awsRegion"], detail["awsAccountId"], kind)
        return Parsed(sources=[SourceRequest(name=name, source=Source.CONFIG)])
    arn = _assemble(detail["awsRegion"], detail["awsAccountId"], detail["resourceId"])
    return Parsed(requests=[Request(arn=arn, source=Source.CONFIG)])


def _from_state_change(event: Node, _: EventNames) -> Parsed:
    """EC2 tells in the instance's own account and Region what its state is now; the resource names it whole."""
    if event["detail"]["state"].text() != "running":
        return Parsed()
    return Parsed(started=[each.instance() for each in event["resources"].items()])


def _each(
    resources: Node, what: str, read: Callable[[Node], _Name | None]
) -> tuple[list[_Name], list[MessagePoisoned]]:
    """What the resources of a finding name, and the errors in them. ``read``: None for a resource of another type than ``what``."""
    names: list[_Name] = []
    poison: list[MessagePoisoned] = []
    for resource in resources.items():
        try:
            name = read(resource)
        except MessagePoisoned as error:
            poison.append(error)
            continue
        if name is not None:
            names.append(name)
    if not names and not poison:
        poison.append(MessagePoisoned(resources.path, f"names no {what}"))
    return names, poison


def _in_words(kind: Named) -> str:
    return kind.replace("_", " ")


def _assemble(region: Node, account: Node, instance_id: Node) -> InstanceArn:
    """Build the ARN from separate fields, so that the error names the invalid one."""
    parts = {"region": "eu-west-1", "account": "000000000000", "instance_id": "i-00000000"}
    for name, node in (("region", region), ("account", account), ("instance_id", instance_id)):
        try:
            InstanceArn.of(**(parts | {name: node.text()}))
        except ValueError:
            takes = {
                "region": "a Region",
                "account": "an account id of 12 digits",
                "instance_id": "an instance id, i-<hex>",
            }
            raise MessagePoisoned(node.path, f"takes {takes[name]}, not {shown(node.value)}") from None
        parts[name] = node.text()
    return InstanceArn.of(**parts)


def _region_of(product_arn: Node) -> str:
    parts = product_arn.text().split(":")
    if len(parts) < 4 or not parts[3]:
        raise MessagePoisoned(product_arn.path, f"takes a product ARN with its Region, not {shown(product_arn.value)}")
    return parts[3]


_KINDS = {
    ("aws.securityhub", "Security Hub Findings - Imported"): _from_imported,
    ("aws.securityhub", "Security Hub Findings - Custom Action"): _from_custom_action,
    ("aws.securityhub", "Findings Imported V2"): _from_imported_v2,
    ("aws.config", "Config Rules Compliance Change"): _from_compliance_change,
    ("aws.ec2", "EC2 Instance State-change Notification"): _from_state_change,
}
