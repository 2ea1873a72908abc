"""The part of Security Hub's API that the service and its tests use. ministack has no Security Hub.

Different from AWS: every client may import findings of Security Hub's own product; hubs are enabled from the start, and enabling one
again is not an error; `PUT /_local/findings-v2` loads OCSF findings; `PUT /_local/custom-action` triggers a custom action.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import gateway
from local.server import platform as ms
from local.server.securityhub import aggregators, hubs
from local.server.securityhub import filters as hub_filters
from local.server.securityhub.hubs import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.server.platform import Headers, Params, Response

Json: TypeAlias = dict[str, Any]

MOST_FINDINGS: Final = 100
MOST_PRESSED: Final = 20
MOST_ACTIONS: Final = 50
LONGEST_NAME: Final = 20
LONGEST_NOTE: Final = 512
ACTION_TARGETS: Final = "/actionTargets/"
STATUSES: Final = {
    0: "Unknown",
    1: "New",
    2: "In Progress",
    3: "Suppressed",
    4: "Resolved",
    5: "Archived",
    6: "Deleted",
}


def install() -> None:
    """Add the service to ministack."""

    async def handle(method: str, path: str, _headers: Headers, body: bytes, query: Params) -> Response:
        operation = ms.iam_actions._match_rest_action("securityhub", method, path, query)
        action = ACTIONS.get(operation)
        if action is None:
            return _refusal(HubError("InvalidInputException", f"The local AWS does not know {operation or path}."))
        request: Json = json.loads(body) if body else {name: values[0] for name, values in query.items()}
        if path.startswith(ACTION_TARGETS) and method != "POST":
            request["ActionTargetArn"] = path.removeprefix(ACTION_TARGETS)
        try:
            return gateway.json_response(action(request))
        except HubError as refusal:
            return _refusal(refusal)

    ms.SERVICES["securityhub"] = handle
    ms.router.SERVICE_PATTERNS["securityhub"] = {}
    gateway.route("findings-v2", _load_ocsf)
    gateway.route("custom-action", _press)


def enable(_request: Json) -> Json:
    """Enable the hub of the account and Region."""
    hub = hubs.hub_at(hubs.here())
    hub.enabled_at = hub.enabled_at or hubs.now()
    return {}


def disable(_request: Json) -> Json:
    """Disable the hub of the account and Region, and delete its findings and actions."""
    hubs.enabled_hub()
    hubs.forget(hubs.here())
    return {}


def describe_hub(_request: Json) -> Json:
    """The hub of the account and Region."""
    arn = f"arn:aws:securityhub:{ms.region()}:{ms.account_id()}:hub/default"
    return {
        "HubArn": arn,
        "SubscribedAt": hubs.enabled_hub().enabled_at,
        "AutoEnableControls": True,
        "ControlFindingGenerator": "SECURITY_CONTROL",
    }


def describe_hub_v2(_request: Json) -> Json:
    """The newer Security Hub of the account and Region, which is on wherever the older one is."""
    arn = f"arn:aws:securityhub:{ms.region()}:{ms.account_id()}:hubv2/local"
    return {"HubV2Arn": arn, "SubscribedAt": hubs.enabled_hub().enabled_at}


def import_findings(request: Json) -> Json:
    """Import up to 100 findings."""
    hubs.enabled_hub()
    findings = _at_most(request["Findings"], MOST_FINDINGS, "Findings")
    for finding in findings:
        hubs.take_in(finding)
    return {"FailedCount": 0, "SuccessCount": len(findings), "FailedFindings": []}


def get_findings(request: Json) -> Json:
    """Findings by filter, at most 100 a page."""
    hub, filters = hubs.enabled_hub(), request.get("Filters", {})
    hub_filters.refuse_invalid(filters)
    return _paged([each for each in hub.findings.values() if hub_filters.matches(each, filters)], request)


def update_findings(request: Json) -> Json:
    """Set the same note and workflow on up to 100 findings."""
    hub = hubs.enabled_hub()
    identifiers = _at_most(request["FindingIdentifiers"], MOST_FINDINGS, "FindingIdentifiers")
    if len(request.get("Note", {}).get("Text", "")) > LONGEST_NOTE:
        raise HubError("InvalidInputException", f"Note.Text must have at most {LONGEST_NOTE} characters.")
    update: Json = {name: request[name] for name in hubs.CUSTOMERS if name in request}
    if "Note" in update:
        update["Note"] = {**update["Note"], "UpdatedAt": hubs.now()}
    processed: list[Json] = []
    unprocessed: list[Json] = []
    for identifier in identifiers:
        error = "DuplicatedFindingIdentifier" if identifier in processed else "FindingNotFound"
        finding = hub.findings.get(hubs.key_of(identifier))
        if finding is None or identifier in processed:
            unprocessed.append({"FindingIdentifier": identifier, "ErrorCode": error, "ErrorMessage": error})
        else:
            hubs.change(finding, update)
            processed.append(identifier)
    return {"ProcessedFindings": processed, "UnprocessedFindings": unprocessed}


def get_findings_v2(request: Json) -> Json:
    """OCSF findings by filter, at most 100 a page."""
    found = [
        each for each in hubs.enabled_hub().ocsf.values() if hub_filters.matches_ocsf(each, request.get("Filters", {}))
    ]
    return _paged(found, request)


def update_findings_v2(request: Json) -> Json:
    """Set comment and status of up to 100 OCSF findings."""
    hub = hubs.enabled_hub()
    if len(request.get("Comment", "")) > LONGEST_NOTE:
        raise HubError("ValidationException", f"Comment must have at most {LONGEST_NOTE} characters.")
    if "MetadataUids" in request and "FindingIdentifiers" in request:
        raise HubError("ValidationException", "MetadataUids and FindingIdentifiers exclude each other.")
    asked = [{"MetadataUid": uid} for uid in request.get("MetadataUids", [])]
    asked += [{"FindingIdentifier": identifier} for identifier in request.get("FindingIdentifiers", [])]
    update: Json = {"comment": request["Comment"]} if "Comment" in request else {}
    if "StatusId" in request:
        update |= {"status_id": request["StatusId"], "status": STATUSES.get(request["StatusId"], "Other")}
    processed: list[Json] = []
    unprocessed: list[Json] = []
    for each in _at_most(asked, MOST_FINDINGS, "MetadataUids"):
        finding = _ocsf(hub, each)
        if finding is None:
            unprocessed.append({**each, "ErrorCode": "ResourceNotFoundException", "ErrorMessage": "Finding not found"})
        else:
            hubs.change_ocsf(finding, update)
            processed.append({"FindingIdentifier": _identifier(finding), "MetadataUid": finding["metadata"]["uid"]})
    return {"ProcessedFindings": processed, "UnprocessedFindings": unprocessed}


def create_action(request: Json) -> Json:
    """Create a custom action."""
    hub = hubs.enabled_hub()
    identifier = request["Id"]
    if not (identifier.isalnum() and len(identifier) <= LONGEST_NAME):
        raise HubError("InvalidInputException", f"Id takes at most {LONGEST_NAME} alphanumeric characters.")
    _refuse_name(request)
    arn = f"arn:aws:securityhub:{ms.region()}:{ms.account_id()}:action/custom/{identifier}"
    if arn in hub.actions:
        raise HubError("ResourceConflictException", f"Action target {arn} already exists", 409)
    if len(hub.actions) >= MOST_ACTIONS:
        raise HubError("LimitExceededException", f"An account has at most {MOST_ACTIONS} action targets", 429)
    hub.actions[arn] = {"ActionTargetArn": arn, "Name": request["Name"], "Description": request["Description"]}
    return {"ActionTargetArn": arn}


def update_action(request: Json) -> Json:
    """Change name and description of a custom action."""
    _refuse_name(request)
    _action(request).update({name: request[name] for name in ("Name", "Description") if name in request})
    return {}


def delete_action(request: Json) -> Json:
    """Delete a custom action."""
    arn = _action(request)["ActionTargetArn"]
    del hubs.enabled_hub().actions[arn]
    return {"ActionTargetArn": arn}


def describe_actions(request: Json) -> Json:
    """All custom actions, or those with the given ARNs."""
    hub = hubs.enabled_hub()
    arns = request.get("ActionTargetArns") or list(hub.actions)
    return {"ActionTargets": [_action({"ActionTargetArn": arn}) for arn in arns]}


ACTIONS: Final[dict[str | None, Callable[[Json], Json]]] = {
    "EnableSecurityHub": enable,
    "DisableSecurityHub": disable,
    "DescribeHub": describe_hub,
    "DescribeSecurityHubV2": describe_hub_v2,
    "BatchImportFindings": import_findings,
    "GetFindings": get_findings,
    "BatchUpdateFindings": update_findings,
    "GetFindingsV2": get_findings_v2,
    "BatchUpdateFindingsV2": update_findings_v2,
    "CreateActionTarget": create_action,
    "UpdateActionTarget": update_action,
    "DeleteActionTarget": delete_action,
    "DescribeActionTargets": describe_actions,
    **aggregators.ACTIONS,
}


def _action(request: Json) -> dict[str, str]:
    action = hubs.enabled_hub().actions.get(request["ActionTargetArn"])
    if action is None:
        raise HubError("ResourceNotFoundException", f"No action target {request['ActionTargetArn']}", 404)
    return action


def _refuse_name(request: Json) -> None:
    if len(request.get("Name", "")) > LONGEST_NAME:
        raise HubError("InvalidInputException", f"Name takes at most {LONGEST_NAME} characters.")


def _at_most(found: list[Json], most: int, name: str) -> list[Json]:
    if not 0 < len(found) <= most:
        raise HubError("InvalidInputException", f"{name} takes 1 to {most} entries.")
    return found


def _paged(found: list[Json], request: Json) -> Json:
    page, token = hubs.page(found, size=int(request.get("MaxResults", MOST_FINDINGS)), token=request.get("NextToken"))
    return {"Findings": page} | ({"NextToken": token} if token else {})


def _ocsf(hub: hubs.Hub, asked: Json) -> Json | None:
    if "MetadataUid" in asked:
        return hub.ocsf.get(asked["MetadataUid"])
    return next((each for each in hub.ocsf.values() if _identifier(each) == asked["FindingIdentifier"]), None)


def _identifier(finding: Json) -> dict[str, str]:
    return {
        "CloudAccountUid": finding["cloud"]["account"]["uid"],
        "FindingInfoUid": finding["finding_info"]["uid"],
        "MetadataProductUid": finding["metadata"]["product"]["uid"],
    }


def _refusal(error: HubError) -> Response:
    fault = {"Message": error.message, "Code": error.code}
    return gateway.json_response(fault, error.status, {"x-amzn-errortype": error.code})


def _load_ocsf(_method: str, body: bytes) -> Response:
    asked = json.loads(body)
    with ms.acting_in(asked["account"], asked["region"]):
        for finding in asked["findings"]:
            hubs.take_in_ocsf(finding)
    return gateway.json_response({"findings": len(asked["findings"])})


def _press(_method: str, body: bytes) -> Response:
    asked = json.loads(body)
    keys = [hubs.key_of(each) for each in asked["findings"]]
    if len(keys) > MOST_PRESSED:
        return gateway.json_response({"error": f"a custom action takes at most {MOST_PRESSED} findings"}, 400)
    try:
        with ms.acting_in(asked["account"], asked["region"]):
            return gateway.json_response({"events": hubs.press(asked["action"], keys)})
    except HubError as refusal:
        return gateway.json_response({"error": refusal.message}, refusal.status)
