"""Parses EventBridge events from the queue into requests.

Filters come first: an event with other valid values is ignored silently, as the event rules would ignore it. An event
that passes them must be complete; otherwise it is poison, and the error names the field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.request import Finding, Request, Source
from imdsv2.errors import MessagePoisoned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imdsv2.line.sought import Sought

CONTROL = "EC2.8"

_OWN_PRODUCT = "::product/aws/securityhub"
_OWN_PRODUCT_V2 = "::productv2/aws/securityhub"
_V2_OPEN = {1, 2}
"""OCSF status ids New and In Progress; the other ids mean suppressed, resolved or archived."""

_LONGEST_ID = 512
"""Maximum length of a finding's id (Security Hub API reference), here in bytes of UTF-8, so that hundreds of findings fit
into a ledger item."""
_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The requests in one message, and the errors in it."""

    requests: list[Request] = field(default_factory=list)
    poison: list[MessagePoisoned] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of a JSON document that knows its path, so that every error names the field."""

    value: object
    path: str

    def __getitem__(self, key: str) -> _Node:
        mapping = self.mapping()
        path = f"{self.path}.{key}" if self.path else key
        if key not in mapping:
            raise MessagePoisoned(path, "is missing")
        return _Node(mapping[key], path)

    def get(self, key: str) -> _Node | None:
        return self[key] if key in self.mapping() else None

    def given(self, key: str) -> _Node | None:
        """A field; None where it is absent, null or empty, as optional fields of OCSF may be."""
        node = self.get(key)
        return None if node is None or node.value in (None, "", {}) else node

    def mapping(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self._mistyped("an object")
        return self.value

    def items(self) -> Iterator[_Node]:
        if not isinstance(self.value, list) or not self.value:
            raise self._mistyped("a list with at least one entry")
        return (_Node(value, f"{self.path}[{index}]") for index, value in enumerate(self.value))

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value:
            raise self._mistyped("a text")
        try:
            self.value.encode()
        except UnicodeEncodeError:
            raise self._mistyped("a text of whole Unicode characters") from None
        return self.value

    def identifier(self) -> str:
        if len(self.text().encode()) > _LONGEST_ID:
            raise self._mistyped(f"an id of at most {_LONGEST_ID} bytes")
        return self.text()

    def number(self) -> int:
        if type(self.value) is not int:
            raise self._mistyped("a whole number")
        return self.value

    def time(self) -> datetime:
        try:
            when = datetime.fromisoformat(self.text())
            if when.tzinfo is None:
                raise self._mistyped("an ISO 8601 time with its offset")
            return when.astimezone(UTC)
        except (ValueError, OverflowError):
            raise self._mistyped("an ISO 8601 time") from None

    def milliseconds(self) -> datetime:
        try:
            return datetime.fromtimestamp(self.number() / 1000, UTC)
        except (OverflowError, ValueError, OSError):
            raise self._mistyped("a time in milliseconds since 1970") from None

    def instance(self) -> InstanceArn:
        try:
            return InstanceArn.parse(self.text())
        except ValueError as error:
            raise MessagePoisoned(self.path, f"{error}, not {shown(self.value)}") from None

    def _mistyped(self, takes: str) -> MessagePoisoned:
        return MessagePoisoned(self.path or "body", f"takes {takes}, not {shown(self.value)}")


def parse(body: str, sought: Sought) -> Parsed:
    """Parse one queue message: an EventBridge event as JSON. Never raises; errors are in ``poison``."""
    try:
        event = _Node(json.loads(body), "")
    except (ValueError, RecursionError) as error:
        return Parsed(poison=[MessagePoisoned("body", f"is not JSON ({type(error).__name__})")])
    try:
        kind = (event["source"].text(), event["detail-type"].text())
        return _KINDS.get(kind, _not_ours)(event, sought)
    except MessagePoisoned as poison:
        return Parsed(poison=[poison])


def _not_ours(_: _Node, __: Sought) -> Parsed:
    return Parsed()


def _from_imported(event: _Node, _: Sought) -> Parsed:
    return _each_finding(event, lambda finding: _from_finding(finding, Source.SECURITYHUB))


def _from_custom_action(event: _Node, sought: Sought) -> Parsed:
    action = next(event["resources"].items()).text()
    if not action.endswith(f":action/custom/{sought.custom_action_id}"):
        return Parsed()
    return _each_finding(event, lambda finding: _from_finding(finding, Source.CUSTOM_ACTION))


def _from_imported_v2(event: _Node, _: Sought) -> Parsed:
    return _each_finding(event, _from_finding_v2)


def _each_finding(event: _Node, read: Callable[[_Node], Parsed]) -> Parsed:
    parsed = Parsed()
    for finding in event["detail"]["findings"].items():
        try:
            one = read(finding)
        except MessagePoisoned as poison:
            one = Parsed(poison=[poison])
        parsed.requests.extend(one.requests)
        parsed.poison.extend(one.poison)
    return parsed


def _from_finding(finding: _Node, source: Source) -> Parsed:
    product_arn = finding["ProductArn"].identifier()
    if not product_arn.endswith(_OWN_PRODUCT) or finding["Compliance"]["SecurityControlId"].text() != CONTROL:
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
    return _each_instance(
        finding["Resources"],
        lambda resource: resource["Id"].instance() if resource["Type"].text() == "AwsEc2Instance" else None,
        lambda arn: Request(arn=arn, source=source, finding=identity, suppressed=workflow == "SUPPRESSED"),
    )


def _from_finding_v2(finding: _Node) -> Parsed:
    product_arn = finding["metadata"]["product"]["uid"].identifier()
    if not product_arn.endswith(_OWN_PRODUCT_V2) or finding["compliance"]["control"].text() != CONTROL:
        return Parsed()
    if finding["compliance"]["status"].text() != "Fail" or finding["status_id"].number() not in _V2_OPEN:
        return Parsed()
    info = finding["finding_info"]
    dated = info.get("modified_time_dt")
    identity = Finding(
        id=info["uid"].identifier(),
        product_arn=product_arn,
        region=_region_of(finding["metadata"]["product"]["uid"]),
        updated_at=dated.time() if dated else info["modified_time"].milliseconds(),
    )
    return _each_instance(
        finding["resources"],
        lambda resource: _instance_v2(resource, finding),
        lambda arn: Request(arn=arn, source=Source.SECURITYHUB_V2, finding=identity),
    )


def _instance_v2(resource: _Node, finding: _Node) -> InstanceArn | None:
    """The instance's ARN from ``uid`` or ``uid_alt``, else assembled from its parts; None for another resource type."""
    if resource["type"].text() != "AWS::EC2::Instance":
        return None
    for key in ("uid", "uid_alt"):
        node = resource.get(key)
        if node is not None and isinstance(node.value, str) and node.value.startswith("arn:"):
            return node.instance()
    region = resource.given("region") or finding["cloud"]["region"]
    owner = resource.given("owner")
    account = owner["account"]["uid"] if owner else finding["cloud"]["account"]["uid"]
    return _assemble(region, account, resource["uid"])


def _from_compliance_change(event: _Node, sought: Sought) -> Parsed:
    detail = event["detail"]
    if (
        detail["messageType"].text() != "ComplianceChangeNotification"
        or not sought.has_rule(detail["configRuleName"].text())
        or detail["resourceType"].text() != "AWS::EC2::Instance"
        or detail["newEvaluationResult"]["complianceType"].text() != "NON_COMPLIANT"
    ):
        return Parsed()
    arn = _assemble(detail["awsRegion"], detail["awsAccountId"], detail["resourceId"])
    return Parsed(requests=[Request(arn=arn, source=Source.CONFIG)])


def _each_instance(
    resources: _Node, read: Callable[[_Node], InstanceArn | None], ask: Callable[[InstanceArn], Request]
) -> Parsed:
    parsed = Parsed()
    for resource in resources.items():
        try:
            arn = read(resource)
        except MessagePoisoned as poison:
            parsed.poison.append(poison)
            continue
        if arn is not None:
            parsed.requests.append(ask(arn))
    if not parsed.requests and not parsed.poison:
        parsed.poison.append(MessagePoisoned(resources.path, "names no EC2 instance"))
    return parsed


def _assemble(region: _Node, account: _Node, instance_id: _Node) -> InstanceArn:
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


def _region_of(product_arn: _Node) -> str:
    parts = product_arn.text().split(":")
    if len(parts) < 4 or not parts[3]:
        raise MessagePoisoned(product_arn.path, f"takes a product ARN with its Region, not {shown(product_arn.value)}")
    return parts[3]


def shown(value: object) -> str:
    """The repr of a value, truncated for error messages."""
    try:
        text = repr(value)
    except RecursionError:
        return "a value nested too deep to be shown"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


_KINDS = {
    ("aws.securityhub", "Security Hub Findings - Imported"): _from_imported,
    ("aws.securityhub", "Security Hub Findings - Custom Action"): _from_custom_action,
    ("aws.securityhub", "Findings Imported V2"): _from_imported_v2,
    ("aws.config", "Config Rules Compliance Change"): _from_compliance_change,
}
