"""Requests to both versions of Security Hub: within their limits, and without changing anything that the service does
not own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import EndpointConnectionError

from imdsv2.aws.security_hub import NOTE_LENGTH, SecurityHub
from imdsv2.domain.request import Finding
from imdsv2.version import VERSION
from tests.integration.builders import MEMBER, NOW, OTHER, REGION, arn_of, known_finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.integration.builders import Stub

ONE, TWO = known_finding("1"), known_finding("2")
V2 = Finding(
    id=f"arn:aws:securityhub:eu-west-1:{MEMBER}:security-control/EC2.8/finding/v2",
    product_arn="arn:aws:securityhub:eu-west-1::productv2/aws/securityhub",
    region=REGION,
    updated_at=NOW,
)
ARN = arn_of("a")
SIGNATURE = f"imdsv2-remediation {VERSION}"
"""Of the version that wrote a note: its author in the older hub, the end of the comment in the newer one."""


class Hub:
    """A stubbed hub and its prepared answers."""

    def __init__(self, stub: Stub) -> None:
        self._stub, self._client = stub, stub.client("securityhub")
        self.hub = SecurityHub(self._client, Logger(service="test"))

    def shows(self, asked: Iterable[Finding], **workflows: str) -> None:
        """The next query is for these findings; each is named by the end of its id, with its workflow status."""
        expected = {
            "Filters": {"Id": [{"Value": each.id, "Comparison": "EQUALS"} for each in asked]},
            "MaxResults": 100,
        }
        seen = [asff(known_finding(name.strip("_")), status) for name, status in workflows.items()]
        self._stub.answer(self._client, "get_findings", {"Findings": seen}, expected)

    def updates(self, updated: Iterable[Finding], note: str, *, unprocessed: Any = (), **more: Any) -> None:
        """The next update writes this note on these findings, and nothing else but `more`."""
        expected = {
            "FindingIdentifiers": [{"Id": each.id, "ProductArn": each.product_arn} for each in updated],
            "Note": {"Text": note, "UpdatedBy": SIGNATURE},
            **more,
        }
        answer = {"ProcessedFindings": [], "UnprocessedFindings": list(unprocessed)}
        self._stub.answer(self._client, "batch_update_findings", answer, expected)

    def shows_v2(self, **fields: Any) -> None:
        """The next query is for the finding of the newer hub."""
        by_id = [{"FieldName": "finding_info.uid", "Filter": {"Value": V2.id, "Comparison": "EQUALS"}}]
        expected = {
            "Filters": {"CompositeFilters": [{"StringFilters": by_id, "Operator": "OR"}]},
            "MaxResults": 100,
        }
        seen = {"Findings": [{"finding_info": {"uid": V2.id}, **fields}]}
        self._stub.answer(self._client, "get_findings_v2", seen, expected)

    def updates_v2(self, comment: str, *, unprocessed: Any = (), **more: Any) -> None:
        """The next update comments on the finding of the newer hub."""
        identifier = {"CloudAccountUid": MEMBER, "FindingInfoUid": V2.id, "MetadataProductUid": V2.product_arn}
        expected = {"FindingIdentifiers": [identifier], "Comment": f"{comment} ({SIGNATURE})", **more}
        answer = {"ProcessedFindings": [], "UnprocessedFindings": list(unprocessed)}
        self._stub.answer(self._client, "batch_update_findings_v2", answer, expected)

    def refuses(self, operation: str, code: str) -> None:
        """The next call is refused."""
        self._stub.refuse(self._client, operation, code)

    def annotate(self, *findings: Finding, note: str = "why", workflow: bool = True) -> set[Finding]:
        """Write the note."""
        return self.hub.annotate(dict.fromkeys(findings, note), dict.fromkeys(findings, MEMBER), workflow=workflow).done


def asff(finding: Finding, workflow: str, note: str | None = None) -> dict[str, Any]:
    """A finding in Security Hub's answer."""
    return {
        "SchemaVersion": "2018-10-08",
        "Id": finding.id,
        "ProductArn": finding.product_arn,
        "GeneratorId": "security-control/EC2.8",
        "AwsAccountId": MEMBER,
        "CreatedAt": "2026-10-01T06:00:00.000Z",
        "UpdatedAt": "2026-11-20T06:00:00.000Z",
        "Title": "t",
        "Description": "d",
        "Resources": [],
        "Workflow": {"Status": workflow},
    } | ({"Note": {"Text": note, "UpdatedBy": "x", "UpdatedAt": "2026-11-20T06:00:00Z"}} if note else {})


@pytest.fixture
def hub(stub: Stub) -> Hub:
    """The hub under test."""
    return Hub(stub)


NOTIFIED = {"Workflow": {"Status": "NOTIFIED"}}


def test_a_new_finding_gets_the_note_and_becomes_notified(hub: Hub) -> None:
    """One call for all of them."""
    hub.shows([ONE, TWO], _1="NEW", _2="NEW")
    hub.updates([ONE, TWO], "why", **NOTIFIED)
    assert {ONE, TWO} == hub.annotate(ONE, TWO)


@pytest.mark.parametrize("workflow", ["NOTIFIED", "SUPPRESSED", "RESOLVED"])
def test_the_workflow_of_a_finding_that_is_not_new_is_left_alone(workflow: str, hub: Hub) -> None:
    """Only Security Hub and people set it."""
    hub.shows([ONE], _1=workflow)
    hub.updates([ONE], "why")
    assert {ONE} == hub.annotate(ONE)


def test_in_observe_there_is_a_note_and_nothing_else(hub: Hub) -> None:
    """Observing does not mark a finding as handled."""
    hub.shows([ONE], _1="NEW")
    hub.updates([ONE], "why")
    assert {ONE} == hub.annotate(ONE, workflow=False)


def test_new_findings_and_others_are_written_apart(hub: Hub) -> None:
    """One call has one workflow status for all its findings."""
    hub.shows([ONE, TWO], _1="SUPPRESSED", _2="NEW")
    hub.updates([ONE], "why")
    hub.updates([TWO], "why", **NOTIFIED)
    assert {ONE, TWO} == hub.annotate(ONE, TWO)


def test_a_finding_that_bears_the_note_already_is_not_written_again(stub: Stub) -> None:
    """Each update emits another event."""
    client = stub.client("securityhub")
    seen = {"Findings": [asff(ONE, "NOTIFIED", note="why")]}
    filters = {"Filters": {"Id": [{"Value": ONE.id, "Comparison": "EQUALS"}]}, "MaxResults": 100}
    stub.answer(client, "get_findings", seen, filters)
    assert {ONE} == SecurityHub(client, Logger(service="test")).annotate(
        {ONE: "why"}, {ONE: MEMBER}, workflow=True
    ).done


def test_a_finding_that_security_hub_does_not_know_is_logged_and_no_failure(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others have their note."""
    hub.shows([ONE, TWO], _2="NOTIFIED")
    identifier = {"Id": ONE.id, "ProductArn": ONE.product_arn}
    unknown = {"FindingIdentifier": identifier, "ErrorCode": "FindingNotFound", "ErrorMessage": "no such finding"}
    hub.updates([ONE, TWO], "why", unprocessed=[unknown])
    assert {TWO} == hub.annotate(ONE, TWO)


def test_twenty_ids_are_looked_up_at_a_time_and_a_hundred_findings_updated(hub: Hub) -> None:
    """The limits of Security Hub."""
    many = [known_finding(f"n{number}") for number in range(101)]
    for first in range(0, 101, 20):
        hub.shows(many[first : first + 20])
    hub.updates(many[:100], "why")
    hub.updates(many[100:], "why")
    assert set(many) == hub.annotate(*many)


def test_pages_of_findings_are_followed(stub: Stub) -> None:
    """More than one product may use the same id."""
    client = stub.client("securityhub")
    filters = {"Filters": {"Id": [{"Value": ONE.id, "Comparison": "EQUALS"}]}, "MaxResults": 100}
    stub.answer(client, "get_findings", {"Findings": [], "NextToken": "t"}, filters)
    stub.answer(client, "get_findings", {"Findings": [asff(ONE, "SUPPRESSED")]}, filters | {"NextToken": "t"})
    assert {ARN} == set(SecurityHub(client, Logger(service="test")).suppressed({ARN: [ONE]}))


@pytest.mark.parametrize("length", [NOTE_LENGTH, NOTE_LENGTH + 1, 513, 2000])
def test_a_note_is_at_most_512_characters(length: int, hub: Hub) -> None:
    """Security Hub rejects a longer one."""
    note = "x" * length if length == NOTE_LENGTH else "x" * (NOTE_LENGTH - 3) + "..."
    hub.shows([ONE], _1="NOTIFIED")
    hub.updates([ONE], note)
    assert {ONE} == hub.annotate(ONE, note="x" * length)


@pytest.mark.parametrize(
    ("operation", "code"),
    [("get_findings", "AccessDeniedException"), ("get_findings", "ThrottlingException")],
)
def test_findings_that_cannot_be_looked_at_are_not_written(operation: str, code: str, hub: Hub) -> None:
    """Whether they are new is unknown; the note stays owed."""
    hub.refuses(operation, code)
    assert set() == hub.annotate(ONE)


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidInputException", "InternalException"])
def test_an_update_that_is_refused_is_no_failure(code: str, hub: Hub) -> None:
    """It is logged, and stays owed."""
    hub.shows([ONE], _1="NEW")
    hub.refuses("batch_update_findings", code)
    assert set() == hub.annotate(ONE)


def test_a_hub_that_is_not_enabled_is_no_failure(hub: Hub) -> None:
    """Config events alone may be in use."""
    hub.refuses("get_findings", "InvalidAccessException")
    hub.refuses("batch_update_findings", "InvalidAccessException")
    assert set() == hub.annotate(ONE)


def test_the_newer_hub_gets_a_comment_and_status_2(hub: Hub) -> None:
    """With its own operations and identifiers, and without a query to the older one."""
    hub.shows_v2(status_id=1)
    hub.updates_v2("why", StatusId=2)
    assert {V2} == hub.annotate(V2)


@pytest.mark.parametrize("status", [2, 3, 4, 5, None])
def test_the_newer_hub_keeps_a_status_that_is_not_new(status: int | None, hub: Hub) -> None:
    """In progress, suppressed, resolved, archived: the service does not change these."""
    hub.shows_v2(status_id=status)
    hub.updates_v2("why")
    assert {V2} == hub.annotate(V2)


def test_in_observe_the_newer_hub_gets_the_comment_only(hub: Hub) -> None:
    """Like the older one."""
    hub.shows_v2(status_id=1)
    hub.updates_v2("why")
    assert {V2} == hub.annotate(V2, workflow=False)


def test_a_comment_is_at_most_512_characters(hub: Hub) -> None:
    """The contract's limit for both."""
    hub.shows_v2(status_id=2)
    hub.updates_v2("x" * (NOTE_LENGTH - 3) + "...")
    assert 512 == len("x" * NOTE_LENGTH + f" ({SIGNATURE})")
    assert {V2} == hub.annotate(V2, note="x" * 600)


def test_a_comment_that_is_there_already_is_not_written_again(hub: Hub) -> None:
    """Each update emits another event."""
    hub.shows_v2(status_id=2, comment=f"why ({SIGNATURE})")
    assert {V2} == hub.annotate(V2)


def test_a_finding_that_the_newer_hub_does_not_know_is_no_failure(hub: Hub) -> None:
    """Its answer identifies the finding by its parts."""
    identifier = {"CloudAccountUid": MEMBER, "FindingInfoUid": V2.id, "MetadataProductUid": V2.product_arn}
    unknown = {"FindingIdentifier": identifier, "ErrorCode": "ResourceNotFoundException"}
    hub.shows_v2(status_id=2)
    hub.updates_v2("why", unprocessed=[unknown])
    assert set() == hub.annotate(V2)


def test_old_and_new_findings_are_written_together(hub: Hub) -> None:
    """Each in its own hub; one that refuses does not stop the other."""
    hub.shows([ONE], _1="NOTIFIED")
    hub.refuses("batch_update_findings", "AccessDeniedException")
    hub.shows_v2(status_id=2)
    hub.updates_v2("why")
    assert {V2} == hub.annotate(ONE, V2)


def test_one_hub_that_cannot_be_looked_at_does_not_stop_the_other(hub: Hub) -> None:
    """For the newer one, a permission may be missing, or it may be a preview."""
    hub.shows([ONE], _1="NOTIFIED")
    hub.updates([ONE], "why")
    hub.refuses("get_findings_v2", "AccessDeniedException")
    assert {ONE} == hub.annotate(ONE, V2)


def test_an_instance_with_one_suppressed_finding_is_suppressed(hub: Hub) -> None:
    """Any of its findings is enough; the explanation names it."""
    here, there = arn_of("1"), arn_of("2")
    hub.shows([ONE, TWO], _1="NOTIFIED", _2="SUPPRESSED")
    hub.refuses("get_findings_v2", "InvalidAccessException")
    suppressed = hub.hub.suppressed({here: [ONE, TWO], there: [ONE]})
    assert [here] == list(suppressed)
    assert TWO.id in suppressed[here].why


def test_the_newer_hub_is_asked_too(hub: Hub) -> None:
    """Its status id 3 means suppressed."""
    hub.shows([V2])
    hub.shows_v2(status_id=3)
    assert [ARN] == list(hub.hub.suppressed({ARN: [V2]}))


def test_nothing_is_asked_about_an_instance_without_findings(hub: Hub) -> None:
    """Config has no suppression."""
    assert {} == hub.hub.suppressed({ARN: []})


def test_what_cannot_be_known_counts_as_suppressed(hub: Hub) -> None:
    """No answer is no permission; instances without findings are not affected."""
    hub.refuses("get_findings", "AccessDeniedException")
    suppressed = hub.hub.suppressed({ARN: [ONE], arn_of("b", account=OTHER): []})
    assert [ARN] == list(suppressed)
    assert "AccessDeniedException" in suppressed[ARN].why
    assert not suppressed[ARN].may_pass


def test_a_hub_that_is_not_enabled_suppresses_nothing(hub: Hub) -> None:
    """It has no findings that could be suppressed."""
    hub.refuses("get_findings", "InvalidAccessException")
    hub.refuses("get_findings_v2", "InvalidAccessException")
    assert {} == hub.hub.suppressed({ARN: [ONE]})


def test_a_finding_that_the_hub_does_not_know_suppresses_nothing(hub: Hub) -> None:
    """It was deleted, or archived long ago."""
    hub.shows([ONE])
    hub.refuses("get_findings_v2", "InvalidAccessException")
    assert {} == hub.hub.suppressed({ARN: [ONE]})


def test_a_network_that_fails_is_told_and_not_raised(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a query nor in an update."""
    client = stub.client("securityhub")

    def fail(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://securityhub")

    monkeypatch.setattr(client, "get_findings", fail)
    hub = SecurityHub(client, Logger(service="test", level=logging.CRITICAL))
    assert [ARN] == list(hub.suppressed({ARN: [ONE]}))
    assert set() == hub.annotate({ONE: "why"}, {ONE: MEMBER}, workflow=True).done


def test_the_same_finding_known_in_two_states_is_asked_for_once(hub: Hub) -> None:
    """The ledger may have an older state than the event."""
    older = known_finding("1", updated_at=None)
    hub.shows([ONE], _1="SUPPRESSED")
    assert [ARN] == list(hub.hub.suppressed({ARN: [ONE, older]}))
