"""Checks of both Security Hubs: findings by id, and our notes on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from imdsv2.aws.security_hub import SecurityHub
from imdsv2.domain.request import Finding
from tests.fixtures import events
from tests.world.conformance.asking import code_of
from tests.world.conformance.clouds import REGION

if TYPE_CHECKING:
    from tests.world.conformance.clouds import Cloud

NOTE = {"Text": "held: v1_in_use", "UpdatedBy": "imdsv2-remediation"}


# --- The older hub (ASFF) ------------------------------------------------------------------------------------------


def a_finding_by_its_id(cloud: Cloud) -> Any:
    """With its workflow status, and without a note before one is written."""
    one = _hold(cloud, 1)
    return _shown(cloud, one)


def findings_by_several_ids(cloud: Cloud) -> Any:
    """Any of them, no other, and none for an id that is not known."""
    one, _, three = (_hold(cloud, number) for number in range(3))
    return _shown(cloud, one, three, _finding(cloud, 9))


def a_note_and_the_workflow_status(cloud: Cloud) -> Any:
    """By the service's own calls: NOTIFIED in place of NEW, and no more than the note the second time."""
    one, two = _hold(cloud, 1), _hold(cloud, 2)
    findings = {_identity(each): cloud.account for each in (one, two)}
    hub = SecurityHub(cloud.hub, Logger(service="test"))
    seen = []
    for text, workflow in (("first", False), ("second", True), ("third", True)):
        written = hub.annotate(dict.fromkeys(findings, text), findings, workflow=workflow)
        seen.append(({each.id for each in written.done}, _shown(cloud, one, two)))
    return seen


def a_suppressed_finding(cloud: Cloud) -> Any:
    """It stays suppressed under our note."""
    one = _hold(cloud, 1)
    identity, arn = _identity(one), events.instance_arn(account=cloud.account)
    cloud.hub.batch_update_findings(FindingIdentifiers=[_key(one)], Note=NOTE, Workflow={"Status": "SUPPRESSED"})
    hub = SecurityHub(cloud.hub, Logger(service="test"))
    hub.annotate({identity: "ours"}, {identity: cloud.account}, workflow=True)
    closed = hub.suppressed({arn: [identity]}).values()  # type: ignore[dict-item]
    return [(each.why.replace(cloud.account, "<account>"), each.may_pass) for each in closed], _shown(cloud, one)


def an_update_leaves_the_time_of_the_finding(cloud: Cloud) -> Any:
    """`UpdatedAt` is the provider's, which our note is told apart by."""
    one = _hold(cloud, 1)
    times = []
    for _ in range(2):
        [seen] = cloud.hub.get_findings(**_asked(one))["Findings"]
        times.append(seen["UpdatedAt"])
        cloud.hub.batch_update_findings(FindingIdentifiers=[_key(one)], Note=NOTE)
    return times[0] == times[1]


def findings_that_cannot_be_updated(cloud: Cloud) -> Any:
    """Unknown, of another product, or named twice; the others are updated."""
    one = _hold(cloud, 1)
    asked = [_key(one), _key(one), _key(_finding(cloud, 9)), {**_key(one), "ProductArn": f"{one['ProductArn']}-other"}]
    answer = cloud.hub.batch_update_findings(FindingIdentifiers=asked, Note=NOTE)
    unprocessed = [(each["FindingIdentifier"], each["ErrorCode"]) for each in answer["UnprocessedFindings"]]
    return answer["ProcessedFindings"], unprocessed, _shown(cloud, one)


def more_ids_than_a_filter_takes(cloud: Cloud) -> Any:
    """Twenty."""
    return code_of(cloud.hub.get_findings, **_asked(*(_finding(cloud, number) for number in range(21))))


def more_findings_than_an_update_takes(cloud: Cloud) -> Any:
    """A hundred."""
    keys = [_key(_finding(cloud, number)) for number in range(101)]
    return code_of(cloud.hub.batch_update_findings, FindingIdentifiers=keys, Note=NOTE)


def a_note_that_is_too_long(cloud: Cloud) -> Any:
    """512 characters are the most."""
    note = {**NOTE, "Text": "x" * 513}
    return code_of(cloud.hub.batch_update_findings, FindingIdentifiers=[_key(_hold(cloud, 1))], Note=note)


# --- The newer hub (OCSF) ------------------------------------------------------------------------------------------


def a_comment_and_the_status_in_the_newer_hub(cloud: Cloud) -> Any:
    """By the service's own calls: in progress in place of new, and no more than the comment the second time."""
    held = [_hold_v2(cloud, number) for number in range(3)]
    findings = {_identity_v2(each): cloud.account for each in (held[0], held[2])}
    hub = SecurityHub(cloud.hub, Logger(service="test"))
    seen: list[Any] = [_shown_v2(cloud, *held[:2])]
    for text, workflow in (("first", False), ("second", True), ("third", True)):
        written = hub.annotate(dict.fromkeys(findings, text), findings, workflow=workflow)
        seen.append([{each.id for each in written.done}, _shown_v2(cloud, *held)])
    return seen


def findings_of_the_newer_hub_that_cannot_be_updated(cloud: Cloud) -> Any:
    """Unknown, of another account or product; the others are updated."""
    one = _hold_v2(cloud, 1)
    key = _key_v2(one)
    others = [{**key, name: f"{key[name]}-other"} for name in ("FindingInfoUid", "MetadataProductUid")]
    others.append({**key, "CloudAccountUid": "999999999999"})
    answer = cloud.hub.batch_update_findings_v2(FindingIdentifiers=[key, *others], Comment="ours", StatusId=2)
    unprocessed = [(each["FindingIdentifier"], each["ErrorCode"]) for each in answer["UnprocessedFindings"]]
    return [each["FindingIdentifier"] for each in answer["ProcessedFindings"]], unprocessed, _shown_v2(cloud, one)


def a_comment_that_is_too_long(cloud: Cloud) -> Any:
    """512 characters are the most."""
    update = cloud.hub.batch_update_findings_v2
    return code_of(update, FindingIdentifiers=[_key_v2(_hold_v2(cloud, 1))], Comment="x" * 513)


def more_ids_than_a_filter_of_the_newer_hub_takes(cloud: Cloud) -> Any:
    """Twenty of a type."""
    return code_of(cloud.hub.get_findings_v2, **_asked_v2(*(_finding_v2(cloud, number) for number in range(21))))


def more_findings_than_an_update_of_the_newer_hub_takes(cloud: Cloud) -> Any:
    """A hundred."""
    keys = [_key_v2(_finding_v2(cloud, number)) for number in range(101)]
    return code_of(cloud.hub.batch_update_findings_v2, FindingIdentifiers=keys, Comment="ours")


def _finding(cloud: Cloud, number: int) -> dict[str, Any]:
    return events.finding(
        events.instance_arn(account=cloud.account),
        finding_id=f"arn:aws:securityhub:{REGION}:{cloud.account}:security-control/EC2.8/finding/{number}",
    )


def _hold(cloud: Cloud, number: int) -> dict[str, Any]:
    finding = _finding(cloud, number)
    cloud.hold(finding)
    return finding


def _key(finding: dict[str, Any]) -> dict[str, str]:
    return {"Id": finding["Id"], "ProductArn": finding["ProductArn"]}


def _identity(finding: dict[str, Any]) -> Finding:
    return Finding(id=finding["Id"], product_arn=finding["ProductArn"], region=REGION, updated_at=None)


def _asked(*findings: dict[str, Any]) -> dict[str, Any]:
    ids = [{"Value": each["Id"], "Comparison": "EQUALS"} for each in findings]
    return {"Filters": {"Id": ids}, "MaxResults": 100}


def _shown(cloud: Cloud, *findings: dict[str, Any]) -> dict[str, Any]:
    seen = cloud.hub.get_findings(**_asked(*findings))["Findings"]
    return {each["Id"]: (each["Workflow"]["Status"], each.get("Note", {}).get("Text")) for each in seen}


def _finding_v2(cloud: Cloud, number: int) -> dict[str, Any]:
    return events.finding_v2(
        account=cloud.account,
        metadata={"uid": f"{number:064x}{cloud.account}"},
        finding_info={"uid": f"arn:aws:securityhub:{REGION}:{cloud.account}:security-control/EC2.8/finding/{number}"},
    )


def _hold_v2(cloud: Cloud, number: int) -> dict[str, Any]:
    finding = _finding_v2(cloud, number)
    cloud.hold(finding)
    return finding


def _key_v2(finding: dict[str, Any]) -> dict[str, str]:
    return {
        "CloudAccountUid": finding["cloud"]["account"]["uid"],
        "FindingInfoUid": finding["finding_info"]["uid"],
        "MetadataProductUid": finding["metadata"]["product"]["uid"],
    }


def _identity_v2(finding: dict[str, Any]) -> Finding:
    product = finding["metadata"]["product"]["uid"]
    return Finding(id=finding["finding_info"]["uid"], product_arn=product, region=REGION, updated_at=None)


def _asked_v2(*findings: dict[str, Any]) -> dict[str, Any]:
    by_id = [
        {"FieldName": "finding_info.uid", "Filter": {"Value": each["finding_info"]["uid"], "Comparison": "EQUALS"}}
        for each in findings
    ]
    return {"Filters": {"CompositeFilters": [{"StringFilters": by_id, "Operator": "OR"}]}, "MaxResults": 100}


def _shown_v2(cloud: Cloud, *findings: dict[str, Any]) -> dict[str, Any]:
    seen = cloud.hub.get_findings_v2(**_asked_v2(*findings))["Findings"]
    return {each["finding_info"]["uid"]: (each["status_id"], each.get("comment")) for each in seen}
