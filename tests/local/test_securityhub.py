"""Security Hub: findings in both formats, who knows of them, the events they make, and custom actions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from local.cloud.findings import finding, finding_v2, instance_arn
from local.cloud.run import HOME, SECURITY, LocalCloudError
from tests.local.launching import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_securityhub import SecurityHubClient

    from local.cloud.run import LocalCloud

ELSEWHERE = "us-east-1"


def _arn(account: str, region: str = HOME) -> str:
    return instance_arn(account, region, "i-0123456789abcdef0")


def _key(found: dict[str, Any]) -> Any:
    return {"Id": found["Id"], "ProductArn": found["ProductArn"]}


class Inbox:
    """What Security Hub puts on a default bus."""

    def __init__(self, cloud: LocalCloud, account: str, region: str, name: str) -> None:
        session = cloud.session(account=account, region=region)
        self._sqs = session.client("sqs")
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        events = session.client("events")
        events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.securityhub"]}))
        events.put_targets(Rule=name, Targets=[{"Id": "inbox", "Arn": f"arn:aws:sqs:{region}:{account}:{name}"}])

    def take(self) -> list[Any]:
        """All events since the last time."""
        events = []
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                events.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return events


@pytest.fixture
def at_home(cloud: LocalCloud, account: str) -> Iterator[Inbox]:
    """The administrator's default bus in the home Region."""
    inbox = Inbox(cloud, SECURITY, HOME, f"home-{account}")
    yield inbox
    cloud.session().client("events").remove_targets(Rule=f"home-{account}", Ids=["inbox"])


def test_an_imported_finding_is_known_where_an_organisation_knows_it(cloud: LocalCloud, account: str) -> None:
    """To its account, and to the administrator in that Region and at home, nowhere else."""
    found: Any = finding(_arn(account, ELSEWHERE))
    cloud.session(account=account, region=ELSEWHERE).client("securityhub").batch_import_findings(Findings=[found])
    places = [(account, ELSEWHERE), (account, HOME), (SECURITY, ELSEWHERE), (SECURITY, HOME)]
    filters: Any = {"Id": [{"Value": found["Id"], "Comparison": "EQUALS"}]}
    known = [
        len(cloud.session(account=owner, region=region).client("securityhub").get_findings(Filters=filters)["Findings"])
        for owner, region in places
    ]
    assert [1, 0, 1, 1] == known


def test_an_import_makes_an_event_in_the_account_and_at_home(
    cloud: LocalCloud, hub: SecurityHubClient, account: str, at_home: Inbox
) -> None:
    """One event a finding, from the administrator's account with the member's finding in it."""
    here = Inbox(cloud, account, HOME, "here")
    several: Any = [finding(_arn(account)), finding(_arn(account))]
    assert 2 == hub.batch_import_findings(Findings=several)["SuccessCount"]
    for owner, inbox in ((account, here), (SECURITY, at_home)):
        events = inbox.take()
        assert [("Security Hub Findings - Imported", owner, 1)] * 2 == [
            (event["detail-type"], event["account"], len(event["detail"]["findings"])) for event in events
        ]
        assert {found["Id"] for found in several} == {event["detail"]["findings"][0]["Id"] for event in events}


def test_an_update_comes_as_an_event_and_leaves_updated_at(
    hub: SecurityHubClient, cloud: LocalCloud, account: str, at_home: Inbox
) -> None:
    """The administrator annotates; the member sees it; the event comes again: the echo."""
    found: Any = finding(_arn(account))
    hub.batch_import_findings(Findings=[found])
    at_home.take()
    administrator = cloud.session().client("securityhub")
    unknown = {"Id": "unknown", "ProductArn": found["ProductArn"]}
    answer = administrator.batch_update_findings(
        FindingIdentifiers=[_key(found), _key(found), unknown],  # type: ignore[list-item]
        Note={"Text": "held: v1_in_use", "UpdatedBy": "imdsv2-remediation"},
        Workflow={"Status": "NOTIFIED"},
    )
    assert [_key(found)] == answer["ProcessedFindings"]
    assert ["DuplicatedFindingIdentifier", "FindingNotFound"] == [
        each["ErrorCode"] for each in answer["UnprocessedFindings"]
    ]
    [seen] = hub.get_findings()["Findings"]
    assert ("held: v1_in_use", "NOTIFIED", found["UpdatedAt"]) == (
        seen["Note"]["Text"],
        seen["Workflow"]["Status"],
        seen["UpdatedAt"],
    )
    [echo] = at_home.take()
    assert "NOTIFIED" == echo["detail"]["findings"][0]["Workflow"]["Status"]


def test_an_import_leaves_what_is_the_customers(hub: SecurityHubClient, account: str) -> None:
    """Note and workflow stay; a control that passes resolves, and opens again when it fails again."""
    found: Any = finding(_arn(account))
    hub.batch_import_findings(Findings=[found])
    hub.batch_update_findings(
        FindingIdentifiers=[_key(found)], Note={"Text": "n", "UpdatedBy": "u"}, Workflow={"Status": "SUPPRESSED"}
    )
    seen = []
    for status in ("FAILED", "PASSED", "FAILED"):
        evaluated: Any = {**found, "Compliance": {**found["Compliance"], "Status": status}}
        hub.batch_import_findings(Findings=[evaluated])
        [now] = hub.get_findings()["Findings"]
        seen.append((now["Note"]["Text"], now["Workflow"]["Status"]))
    assert [("n", "SUPPRESSED"), ("n", "RESOLVED"), ("n", "NEW")] == seen


@pytest.mark.parametrize(
    ("filters", "matching"),
    [
        ({"ComplianceSecurityControlId": [("EC2.8", "EQUALS")]}, 2),
        ({"ResourceId": [("arn:aws:ec2:us-east-1:", "PREFIX")]}, 1),
        ({"WorkflowStatus": [("SUPPRESSED", "NOT_EQUALS")]}, 2),
        ({"WorkflowStatus": [("SUPPRESSED", "EQUALS"), ("NOTIFIED", "EQUALS")]}, 0),
        ({"RecordState": [("ACTIVE", "EQUALS")], "ResourceId": [("nonsense", "EQUALS")]}, 0),
    ],
)
def test_filters(
    hub: SecurityHubClient, account: str, filters: dict[str, list[tuple[str, str]]], matching: int
) -> None:
    """Any value of an attribute, all attributes."""
    two: Any = [finding(_arn(account)), finding(_arn(account, ELSEWHERE))]
    hub.batch_import_findings(Findings=two)
    asked: Any = {
        name: [{"Value": value, "Comparison": how} for value, how in values] for name, values in filters.items()
    }
    assert matching == len(hub.get_findings(Filters=asked)["Findings"])


def test_pages_hold_at_most_a_hundred(hub: SecurityHubClient, account: str) -> None:
    """The token leads to the rest."""
    for _ in range(2):
        many: Any = [finding(_arn(account)) for _ in range(60)]
        hub.batch_import_findings(Findings=many)
    pages = list(hub.get_paginator("get_findings").paginate())
    assert [100, 20] == [len(page["Findings"]) for page in pages]
    assert 120 == len({each["Id"] for page in pages for each in page["Findings"]})


def test_limits_are_security_hubs(hub: SecurityHubClient, account: str) -> None:
    """100 findings a call, 20 values an attribute, 512 characters a note."""
    many: Any = [finding(_arn(account)) for _ in range(101)]
    values: Any = [{"Value": str(number), "Comparison": "EQUALS"} for number in range(21)]
    with Refused() as of_import:
        hub.batch_import_findings(Findings=many)
    with Refused() as of_filter:
        hub.get_findings(Filters={"Id": values})
    with Refused() as of_note:
        hub.batch_update_findings(FindingIdentifiers=[_key(many[0])], Note={"Text": "x" * 513, "UpdatedBy": "u"})
    assert ["InvalidInputException"] * 3 == [of_import.code, of_filter.code, of_note.code]


def test_an_import_is_answered_as_moto_answers_it(hub: SecurityHubClient, account: str) -> None:
    """The same findings in moto, asked for by the same call."""
    found: Any = finding(_arn(account))
    ours_import, ours = hub.batch_import_findings(Findings=[found]), hub.get_findings()["Findings"]
    with mock_aws():
        moto = boto3.client("securityhub", region_name=HOME)
        theirs_import, theirs = moto.batch_import_findings(Findings=[found]), moto.get_findings()["Findings"]
    counts = [
        (each["SuccessCount"], each["FailedCount"], each["FailedFindings"]) for each in (theirs_import, ours_import)
    ]
    assert counts[0] == counts[1]
    shared: list[Any] = [
        [{name: value for name, value in each.items() if name in found} for each in seen] for seen in (theirs, ours)
    ]
    assert found.keys() == shared[0][0].keys()
    assert shared[0] == shared[1]


def test_findings_of_the_newer_format(cloud: LocalCloud, account: str, at_home: Inbox) -> None:
    """Loaded here, found by the administrator, answered with comment and status, told by events."""
    found = finding_v2(_arn(account))
    cloud.ask("PUT", "findings-v2", {"account": account, "region": HOME, "findings": [found]})
    administrator = cloud.session().client("securityhub")
    uid = found["metadata"]["uid"]
    answer = administrator.batch_update_findings_v2(
        MetadataUids=[uid, "unknown"], Comment="held: v1_in_use", StatusId=2
    )
    assert [uid] == [each["MetadataUid"] for each in answer["ProcessedFindings"]]
    assert ["ResourceNotFoundException"] == [each["ErrorCode"] for each in answer["UnprocessedFindings"]]
    string: Any = {"FieldName": "metadata.uid", "Filter": {"Value": uid, "Comparison": "EQUALS"}}
    number: Any = {"FieldName": "status_id", "Filter": {"Eq": 2}}
    filters: Any = {"CompositeFilters": [{"StringFilters": [string], "NumberFilters": [number], "Operator": "AND"}]}
    [seen] = administrator.get_findings_v2(Filters=filters)["Findings"]
    assert ("In Progress", "held: v1_in_use") == (seen["status"], seen["comment"])
    events = at_home.take()
    assert ["Findings Imported V2"] * 2 == [event["detail-type"] for event in events]
    assert [1, 2] == [event["detail"]["findings"][0]["status_id"] for event in events]


def test_a_comment_has_at_most_512_characters(cloud: LocalCloud) -> None:
    """One more is refused."""
    with Refused() as refusal:
        cloud.session().client("securityhub").batch_update_findings_v2(MetadataUids=["x"], Comment="x" * 513)
    assert "ValidationException" == refusal.code


def test_a_custom_action_lives_and_is_pressed(cloud: LocalCloud, hub: SecurityHubClient, account: str) -> None:
    """Pressing it makes an event for each finding, with the action's ARN as its resource."""
    inbox = Inbox(cloud, account, HOME, "pressed")
    two: Any = [finding(_arn(account)), finding(_arn(account))]
    hub.batch_import_findings(Findings=two)
    arn = hub.create_action_target(Name="Require IMDSv2", Description="d", Id="RequireIMDSv2")["ActionTargetArn"]
    with Refused() as refusal:
        hub.create_action_target(Name="Require IMDSv2", Description="d", Id="RequireIMDSv2")
    hub.update_action_target(ActionTargetArn=arn, Name="Require tokens")
    inbox.take()
    press = {"account": account, "region": HOME, "action": arn, "findings": [_key(each) for each in two]}
    cloud.ask("PUT", "custom-action", press)
    events = inbox.take()
    assert ("ResourceConflictException", 409) == (refusal.code, refusal.status)
    assert [("Security Hub Findings - Custom Action", [arn], "Require tokens")] * 2 == [
        (event["detail-type"], event["resources"], event["detail"]["actionName"]) for event in events
    ]
    hub.delete_action_target(ActionTargetArn=arn)
    assert [] == hub.describe_action_targets()["ActionTargets"]
    with pytest.raises(LocalCloudError, match="No action target"):
        cloud.ask("PUT", "custom-action", press)


@pytest.mark.parametrize(("name", "identifier"), [("x" * 21, "ok"), ("ok", "x" * 21), ("ok", "not-alphanumeric")])
def test_names_of_custom_actions_are_short(hub: SecurityHubClient, name: str, identifier: str) -> None:
    """20 characters, the id of letters and digits."""
    with Refused() as refusal:
        hub.create_action_target(Name=name, Description="d", Id=identifier)
    assert "InvalidInputException" == refusal.code


def test_the_newer_hub_is_on_where_the_older_is(hub: SecurityHubClient) -> None:
    """Its own ARN, and an error where it is off."""
    assert ":hubv2/" in hub.describe_security_hub_v2()["HubV2Arn"]
    hub.disable_security_hub()
    with Refused():
        hub.describe_security_hub_v2()
    hub.enable_security_hub()


def test_a_disabled_hub_refuses_everything(hub: SecurityHubClient) -> None:
    """With the code that tells it from a missing permission, until it is enabled again."""
    assert hub.describe_hub()["HubArn"].endswith(":hub/default")
    hub.disable_security_hub()
    with Refused() as refusal:
        hub.describe_action_targets()
    assert ("InvalidAccessException", 401) == (refusal.code, refusal.status)
    hub.enable_security_hub()
    assert [] == hub.describe_action_targets()["ActionTargets"]
