"""Security Hub's state: a hub for each account and Region, findings in both formats, custom actions, and the events they make.

The accounts belong together as an organisation with a delegated administrator has them: a finding that is imported in one account and
Region is known there, to the administrator in that Region, and to the administrator in the home Region. Its event comes on the
default bus where it was imported and on the administrator's in the home Region.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import platform as ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Finding: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, str]

ADMINISTRATOR: Final = os.environ.get("MINISTACK_ACCOUNT_ID", "111111111111")
HOME: Final = os.environ.get("MINISTACK_REGION", "eu-west-1")
SOURCE: Final = "aws.securityhub"
IMPORTED: Final = "Security Hub Findings - Imported"
IMPORTED_V2: Final = "Findings Imported V2"
CUSTOM_ACTION: Final = "Security Hub Findings - Custom Action"
# What only the customer changes: an import leaves it as it is.
CUSTOMERS: Final = ("Note", "UserDefinedFields", "VerificationState", "Workflow")


@dataclass(eq=False)
class HubError(Exception):
    """A refusal: what Security Hub answers in place of a result."""

    code: str
    message: str
    status: int = 400


@dataclass(kw_only=True)
class Hub:
    """Security Hub in one account and Region."""

    enabled_at: str | None = field(default_factory=lambda: now())
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    ocsf: dict[str, Finding] = field(default_factory=dict)
    actions: dict[str, dict[str, str]] = field(default_factory=dict)


_hubs: dict[Place, Hub] = {}
# Where a finding was first imported, by its key in either format.
_origins: dict[Any, Place] = {}


def now() -> str:
    """The time as Security Hub writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def here() -> Place:
    """The account and Region of the request at hand."""
    return ms.account_id(), ms.region()


def hub_at(place: Place) -> Hub:
    """The hub of an account and Region; new ones are enabled, as the organisation does it."""
    return _hubs.setdefault(place, Hub())


def enabled_hub() -> Hub:
    """The hub of the request.

    Raises:
        HubError: Security Hub is not enabled there.
    """
    hub = hub_at(here())
    if hub.enabled_at is None:
        raise HubError(
            "InvalidAccessException", f"Account {ms.account_id()} is not subscribed to AWS Security Hub", 401
        )
    return hub


def forget(place: Place) -> None:
    """Disable the hub of an account and Region, and with it all that it holds."""
    _hubs[place] = Hub(enabled_at=None)


def key_of(finding: Mapping[str, Any]) -> tuple[str, str]:
    """What identifies a finding: its id and product."""
    return finding["Id"], finding["ProductArn"]


def take_in(finding: Finding) -> None:
    """Import a finding in the account and Region at hand."""
    origin = _origins.setdefault(key_of(finding), here())
    known = hub_at(origin).findings.get(key_of(finding))
    complete = _complete(finding, known)
    for hub in _hubs_of(origin):
        hub.findings[key_of(finding)] = complete
    _tell(origin, IMPORTED, complete, _arn(complete))


def change(finding: Finding, update: Mapping[str, Any]) -> None:
    """Change what is the customer's of a finding; its `UpdatedAt` stays, its event comes again."""
    finding.update(update)
    if "Workflow" in update:
        finding["WorkflowState"] = finding["Workflow"]["Status"]
    _tell(_origins[key_of(finding)], IMPORTED, finding, _arn(finding))


def take_in_ocsf(finding: Finding) -> None:
    """Import a finding in the newer format in the account and Region at hand."""
    uid = finding["metadata"]["uid"]
    origin = _origins.setdefault(uid, here())
    for hub in _hubs_of(origin):
        hub.ocsf[uid] = finding
    _tell(origin, IMPORTED_V2, finding, finding["finding_info"]["uid"])


def change_ocsf(finding: Finding, update: Mapping[str, Any]) -> None:
    """Change status or comment of a finding in the newer format; its event comes again."""
    finding.update(update)
    _tell(_origins[finding["metadata"]["uid"]], IMPORTED_V2, finding, finding["finding_info"]["uid"])


def press(arn: str, keys: Iterable[tuple[str, str]]) -> int:
    """Send findings to a custom action in the account and Region at hand, an event each, as the console does.

    Raises:
        HubError: no such action, or no such finding.
    """
    hub = enabled_hub()
    if arn not in hub.actions:
        raise HubError("ResourceNotFoundException", f"No action target {arn}", 404)
    findings = [hub.findings.get(key) for key in keys]
    if None in findings:
        raise HubError("InvalidInputException", "No such finding")
    for finding in findings:
        action = {"actionName": hub.actions[arn]["Name"], "actionDescription": hub.actions[arn]["Description"]}
        detail = json.dumps({**action, "findings": [finding]})
        ms.emit_event(source=SOURCE, detail_type=CUSTOM_ACTION, detail=detail, resources=[arn])
    return len(findings)


def page(found: list[Finding], *, size: int, token: str | None) -> tuple[list[Finding], str | None]:
    """A page of findings, and the token of the next."""
    start = int(token or 0)
    return found[start : start + size], str(start + size) if start + size < len(found) else None


def _complete(finding: Finding, known: Finding | None) -> Finding:
    defaults: Finding = {
        "RecordState": "ACTIVE",
        "Workflow": {"Status": "NEW"},
        "Region": ms.region(),
        "ProductName": "Security Hub",
        "CompanyName": "AWS",
    }
    complete = defaults | finding
    if known is not None:
        complete |= {name: known[name] for name in CUSTOMERS if name in known}
        complete["Workflow"] = _workflow(complete, known)
    return complete | {"WorkflowState": complete["Workflow"]["Status"], "ProcessedAt": now()}


def _workflow(finding: Finding, known: Finding) -> dict[str, str]:
    """Security Hub resolves what passes, and opens it again when it fails again or returns from the archive."""
    was, is_ = (each.get("Compliance", {}).get("Status") for each in (known, finding))
    if is_ == "PASSED":
        return {"Status": "RESOLVED"}
    failed_again = was == "PASSED" and is_ == "FAILED"
    returned = known["RecordState"] == "ARCHIVED" and finding["RecordState"] == "ACTIVE"
    workflow: dict[str, str] = {"Status": "NEW"} if failed_again or returned else known["Workflow"]
    return workflow


def _hubs_of(origin: Place) -> list[Hub]:
    """The hubs that know a finding from there, as far as they are enabled."""
    hubs = [hub_at(place) for place in sorted({origin, (ADMINISTRATOR, origin[1]), (ADMINISTRATOR, HOME)})]
    return [hub for hub in hubs if hub.enabled_at is not None]


def _arn(finding: Finding) -> str:
    return f"{finding['ProductArn']}/{finding['Id']}"


def _tell(origin: Place, detail_type: str, finding: Finding, resource: str) -> None:
    for place in sorted({origin, (ADMINISTRATOR, HOME)}):
        if hub_at(place).enabled_at is None:
            continue
        with ms.acting_in(*place):
            ms.emit_event(
                source=SOURCE, detail_type=detail_type, detail=json.dumps({"findings": [finding]}), resources=[resource]
            )
