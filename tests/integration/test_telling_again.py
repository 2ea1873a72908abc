"""What could not be told: it is due again within a quarter of an hour, and keeps nobody else from being told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from imdsv2.domain.lifecycle import Status
from tests.integration.builders import NOW, OTHER, arn_of, known_finding
from tests.integration.test_telling import record, tell

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

DAY = timedelta(days=1)
SOON = timedelta(minutes=16)


def due_in(cloud: Cloud, arn: InstanceArn) -> timedelta | None:
    """How long until it is evaluated again."""
    revisit_at = cloud.current(arn).get("revisit_at")
    return datetime.fromisoformat(revisit_at) - NOW if revisit_at else None


@pytest.mark.parametrize("refused", ["Publish", "BatchUpdateFindings", "GetFindings"])
@pytest.mark.parametrize("revisit_at", [NOW + DAY, None])
def test_what_could_not_be_told_is_due_soon(refused: str, revisit_at: datetime | None, cloud: Cloud) -> None:
    """Also where nothing else would bring it up again."""
    arn = arn_of("1")
    record(cloud, arn, known_finding("1"), revisit_at=revisit_at)
    cloud.wire.refuse(refused, "InternalErrorException", times=1)
    tell(cloud, arn)
    due = due_in(cloud, arn)
    assert due is not None
    assert due < SOON
    assert [arn] == list(cloud.ledger().indexes.due(NOW + SOON, 10))


def test_a_verified_one_whose_note_failed_is_due_soon(cloud: Cloud) -> None:
    """Its record had no revisit any more."""
    arn = arn_of("1")
    record(cloud, arn, known_finding("1"), status=Status.VERIFIED, decision="enforce", reason="unused")
    cloud.wire.refuse("BatchUpdateFindings", "InternalErrorException", times=1)
    tell(cloud, arn)
    assert due_in(cloud, arn) is not None


@pytest.mark.parametrize("revisit_at", [NOW + DAY, NOW + timedelta(minutes=3), None])
def test_what_was_told_keeps_its_revisit(revisit_at: datetime | None, cloud: Cloud) -> None:
    """And an earlier one is not put off."""
    arn = arn_of("1")
    record(cloud, arn, known_finding("1"), revisit_at=revisit_at)
    tell(cloud, arn)
    assert due_in(cloud, arn) == (revisit_at - NOW if revisit_at else None)


def test_a_finding_that_security_hub_no_longer_has_brings_nothing_forward(cloud: Cloud) -> None:
    """It would be looked for every quarter of an hour for ever."""
    arn, one = arn_of("1"), known_finding("1")
    record(cloud, arn, one, revisit_at=NOW + DAY)
    del cloud.hub.findings[one.id]
    tell(cloud, arn)
    assert due_in(cloud, arn) == DAY


def test_one_message_that_is_refused_does_not_keep_the_others(cloud: Cloud) -> None:
    """Only its own instances are due again."""
    refused, told = arn_of("1"), arn_of("2", account=OTHER)
    for arn in (refused, told):
        record(cloud, arn, revisit_at=NOW + DAY)
    cloud.wire.refuse("Publish", "InvalidParameterException", when=lambda call: str(refused) in call.params["Message"])
    tell(cloud, refused, told)
    assert DAY == due_in(cloud, told)
    assert due_in(cloud, refused) != DAY
    assert [True, False] == [each.owes_notification() for each in cloud.ledger().read([refused, told]).values()]


def test_one_finding_that_makes_a_call_invalid_does_not_keep_the_others(cloud: Cloud) -> None:
    """The call is divided until it is found."""
    arns = [arn_of(f"{number}") for number in range(1, 6)]
    for number, arn in enumerate(arns):
        record(cloud, arn, known_finding(f"{number}"), explanation="3 IMDSv1 calls.")
    bad = known_finding("3").id

    def holds_it(call: Call) -> bool:
        return bad in [each["Id"] for each in call.params["FindingIdentifiers"]]

    cloud.wire.refuse("BatchUpdateFindings", "InvalidInputException", when=holds_it)
    tell(cloud, *arns)
    owed = {arn for arn, each in cloud.ledger().read(arns).items() if each.owed_notes()}
    assert {arns[3]} == owed
    assert 5 == sum(each["Message"].count("instance/i-") for each in cloud.published())


def test_a_topic_that_hangs_is_asked_once(cloud: Cloud) -> None:
    """Notes are written all the same, and every instance is due again."""
    arns = [arn_of("1"), arn_of("2", account=OTHER)]
    for number, arn in enumerate(arns):
        record(cloud, arn, known_finding(f"{number}"), revisit_at=NOW + DAY)
    asked: list[Any] = []

    def hang(call: Call) -> None:
        asked.append(call)
        raise ReadTimeoutError(endpoint_url="https://sns.eu-west-1.amazonaws.com")

    cloud.wire.on("Publish", hang)
    tell(cloud, *arns)
    assert 1 == len(asked)
    assert DAY not in {due_in(cloud, arn) for arn in arns}
    assert not any(each.owed_notes() for each in cloud.ledger().read(arns).values())
