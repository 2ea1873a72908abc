"""Notes and messages after a verdict: who gets which, what stays owed, and in how many calls."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools import Logger
from moto.sns.models import sns_backends

from imdsv2.aws.security_hub import SecurityHub
from imdsv2.aws.topic import Topic
from imdsv2.domain.account import Account
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.texts.commands import commands_in
from imdsv2.ledger.policy import PolicySource
from imdsv2.ledger.record import Record
from imdsv2.line.tell import Teller
from tests.integration.builders import DIRECTIONS, HUB, NOW, OTHER, PARAMETER, REGION, arn_of, known_finding
from tests.world.records import change

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.change import Change
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud


def verdict(arn: InstanceArn, *findings: Finding, **attributes: Any) -> Change:
    """A first verdict."""
    held = {
        "status": Status.HELD,
        "decision": "hold",
        "reason": "v1_in_use",
        "explanation": f"3 IMDSv1 calls on {arn.instance_id}",
        "changed_at": NOW,
    }
    return change(Record(arn=arn), *findings, **(held | attributes))


WAYS = {
    Status.ENFORCED: [Status.ENFORCING],
    Status.FAILED: [Status.ENFORCING],
    Status.VERIFIED: [Status.ENFORCING, Status.ENFORCED],
    Status.ROLLING_BACK: [Status.ENFORCING, Status.ENFORCED],
    Status.ROLLED_BACK: [Status.ENFORCING, Status.ENFORCED, Status.ROLLING_BACK],
}
"""The statuses through which an instance reaches another one; all others are reached directly."""


def record(cloud: Cloud, arn: InstanceArn, *findings: Finding, **attributes: Any) -> None:
    """A verdict in the ledger of which nobody has been notified."""
    ledger, written = cloud.ledger(), verdict(arn, *findings, **attributes)
    last = Status(str(written.after.status))
    for status in [*WAYS.get(last, []), last]:
        before = ledger.read([arn])[arn]
        after = replace(written.after, version=before.version, status=status)
        assert set() == ledger.write([replace(written, before=before, after=after)], NOW).lost
    for each in findings:
        cloud.hub.findings[each.id] = {"workflow": "NEW", "product": each.product_arn}


def teller(cloud: Cloud) -> Teller:
    """The component that writes notes and messages."""
    logger = Logger(service="test")
    hub = SecurityHub(cloud.client("securityhub"), logger)
    policies = PolicySource(cloud.client("ssm"), cloud.last_good_policy(), PARAMETER)
    topic = Topic(cloud.client("sns"), cloud.topic_arn)
    return Teller(cloud.ledger(), hub, topic, DIRECTIONS, logger, policies, cloud.clock.tick)


def tell(cloud: Cloud, *arns: InstanceArn, workflow: bool = True) -> None:
    """Send what is owed."""
    teller(cloud).tell(arns, NOW + timedelta(seconds=1), workflow=workflow)


def test_findings_with_the_same_note_share_their_calls(cloud: Cloud) -> None:
    """One note per call, so findings are grouped by what it says, across accounts and Regions."""
    arns = [arn_of("1"), arn_of("2"), arn_of("3", account=OTHER)]
    for number, arn in enumerate(arns):
        record(cloud, arn, known_finding(f"{number}"), explanation="3 IMDSv1 calls.")
    tell(cloud, *arns)
    (update,) = cloud.wire.made("BatchUpdateFindings")
    assert 3 == len(update.params["FindingIdentifiers"])
    said = "IMDSv1 stays on: hold (v1_in_use). 3 IMDSv1 calls. (More: imdsv2 explain INSTANCE)"
    assert update.params["Note"]["Text"].startswith(said)


def test_different_notes_cost_one_look(cloud: Cloud) -> None:
    """Security Hub allows few of them."""
    arns = [arn_of("1"), arn_of("2"), arn_of("3")]
    for number, arn in enumerate(arns):
        record(cloud, arn, known_finding(f"{number}"))
    tell(cloud, *arns)
    assert (1, 3) == (len(cloud.wire.made("GetFindings")), len(cloud.wire.made("BatchUpdateFindings")))
    for number, arn in enumerate(arns):
        assert f"3 IMDSv1 calls on {arn.instance_id}" in cloud.hub.findings[known_finding(f"{number}").id]["note"]


def test_a_note_that_comes_later_than_a_newer_verdict_s_does_not_stay(cloud: Cloud) -> None:
    """While this function writes its note, another reaches a new verdict and writes its own: the newer verdict then
    owes its note again."""
    arn, one = arn_of("1"), known_finding("1")
    record(cloud, arn, one)

    def overtake(_: Call) -> None:
        entry = cloud.ledger().read([arn])[arn]
        newer = {"reason": "no_evidence", "changed_at": NOW + timedelta(seconds=1)}
        annotated = replace(one, annotated_at=NOW + timedelta(seconds=2))
        cloud.ledger().write([change(entry, annotated, **newer)], NOW)

    cloud.wire.on("BatchUpdateFindings", overtake)
    tell(cloud, arn)
    assert 1 == len(cloud.ledger().read([arn])[arn].owed_notes())


def test_different_reasons_have_different_notes(cloud: Cloud) -> None:
    """Each note has its own reason."""
    record(cloud, arn_of("1"), known_finding("1"))
    record(cloud, arn_of("2"), known_finding("2"), reason="no_evidence")
    tell(cloud, arn_of("1"), arn_of("2"))
    assert ["v1_in_use", "no_evidence"] == [
        reason
        for reason in ("v1_in_use", "no_evidence")
        for call in cloud.wire.made("BatchUpdateFindings")
        if reason in call.params["Note"]["Text"]
    ]


def test_people_get_one_message_for_each_verdict_and_place(cloud: Cloud) -> None:
    """With every instance and its reason; subscribers can filter by the attributes."""
    for arn in (arn_of("1"), arn_of("2"), arn_of("3", account=OTHER)):
        record(cloud, arn)
    tell(cloud, arn_of("1"), arn_of("2"), arn_of("3", account=OTHER))
    here, there = sorted(cloud.published(), key=lambda each: str(each["MessageAttributes"]))
    assert str(arn_of("1")) in here["Message"]
    assert f"3 IMDSv1 calls on {arn_of('2').instance_id}" in here["Message"]
    assert OTHER in there["Subject"]
    assert {
        "decision": "hold",
        "reason": "v1_in_use",
        "status": "held",
        "account": OTHER,
        "region": REGION,
        "kind": "held",
        "owner": OTHER,
    } == {name: value["StringValue"] for name, value in there["MessageAttributes"].items()}


@pytest.mark.parametrize("reason", ["v1_in_use", "boot_not_observable", "exemption_unreadable"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"status": Status.ENFORCED},
        {"status": Status.FAILED},
        {"status": Status.WOULD_ENFORCE},
        {"status": Status.HELD},
        {"status": Status.ROLLED_BACK},
        {"status": Status.ENFORCED, "left_because": "Its tag is gone."},
        {"status": Status.VERIFIED, "left_because": "unproven"},
        {"status": Status.SKIPPED, "reminder": "ends"},
        {"status": Status.WOULD_ENFORCE, "reminder": "ended"},
    ],
    ids=lambda attributes: "-".join(str(each) for each in attributes.values()),
)
def test_a_message_is_one_that_sns_takes(attributes: dict[str, Any], reason: str, cloud: Cloud) -> None:
    """A subject of at most 100 characters in one line; moto checks it as SNS does."""
    record(cloud, arn_of("1", region="ap-southeast-2"), reason=reason, **attributes)
    tell(cloud, arn_of("1", region="ap-southeast-2"))
    (sent,) = sns_backends[HUB][REGION].topics[cloud.topic_arn].sent_notifications
    subject = str(sent[2])
    assert subject.isascii()
    assert "\n" not in subject
    assert len(subject) <= 100


def test_many_instances_are_told_in_messages_of_a_size_that_sns_takes(cloud: Cloud) -> None:
    """256 KB per message, with the longest explanations."""
    arns = [arn_of(f"{number:x}") for number in range(301)]
    cloud.ledger().write([verdict(arn, explanation="x" * 900) for arn in arns], NOW)
    tell(cloud, *arns)
    sizes = [len(each["Message"].encode()) for each in cloud.published()]
    assert max(sizes) < 256 * 1024
    assert 301 == sum(each["Message"].count("instance/i-") for each in cloud.published())


@pytest.mark.parametrize(
    "attributes",
    [
        {"status": Status.SKIPPED, "decision": "skip", "reason": "exempt"},
        {"status": Status.VERIFIED, "decision": "enforce", "reason": "unused"},
    ],
    ids=["skipped", "verified"],
)
def test_an_instance_with_which_all_is_well_is_nobodys_news(attributes: dict[str, Any], cloud: Cloud) -> None:
    """Its finding gets the note; people get no message."""
    record(cloud, arn_of("1"), known_finding("1"), **attributes)
    tell(cloud, arn_of("1"))
    assert (0, 1) == (len(cloud.published()), len(cloud.wire.made("BatchUpdateFindings")))


@pytest.mark.parametrize("status", [Status.ENFORCING, Status.ROLLING_BACK])
def test_an_instance_that_is_being_changed_is_not_told_of(status: Status, cloud: Cloud) -> None:
    """The outcome is not known yet."""
    record(cloud, arn_of("1"), known_finding("1"), status=status)
    tell(cloud, arn_of("1"))
    assert (0, 0) == (len(cloud.published()), len(cloud.wire.made("BatchUpdateFindings")))


def test_what_was_told_is_told_once(cloud: Cloud) -> None:
    """The second time, nothing is owed and there is no call."""
    record(cloud, arn_of("1"), known_finding("1"))
    tell(cloud, arn_of("1"))
    cloud.wire.calls.clear()
    tell(cloud, arn_of("1"))
    assert ["BatchGetItem"] == [call.operation for call in cloud.wire.calls]


@pytest.mark.parametrize(("refused", "done"), [("BatchUpdateFindings", "Publish"), ("Publish", "BatchUpdateFindings")])
def test_what_fails_stays_owed_by_itself(refused: str, done: str, cloud: Cloud) -> None:
    """The note does not wait for the message, nor the message for the note."""
    record(cloud, arn_of("1"), known_finding("1"))
    cloud.wire.refuse(refused, "InternalErrorException", times=1)
    tell(cloud, arn_of("1"))
    cloud.wire.calls.clear()
    tell(cloud, arn_of("1"))
    assert (1, 0) == (len(cloud.wire.made(refused)), len(cloud.wire.made(done)))


def test_an_unknown_finding_does_not_keep_the_others_owed(cloud: Cloud) -> None:
    """Only the unknown one is retried."""
    record(cloud, arn_of("1"), known_finding("known"), known_finding("unknown"))
    del cloud.hub.findings[known_finding("unknown").id]
    tell(cloud, arn_of("1"))
    cloud.wire.calls.clear()
    tell(cloud, arn_of("1"))
    (update,) = cloud.wire.made("BatchUpdateFindings")
    assert [known_finding("unknown").id] == [each["Id"] for each in update.params["FindingIdentifiers"]]
    assert [] == cloud.published()


def test_a_finding_that_comes_while_others_are_told_stays_owed(cloud: Cloud) -> None:
    """It is in the ledger without a mark, for the next function."""
    record(cloud, arn_of("1"), known_finding("1"))
    ledger, late = cloud.ledger(), known_finding("late", updated_at=None)

    def come(_: Call) -> None:
        ledger.add_finding(ledger.read([arn_of("1")])[arn_of("1")], late)

    cloud.wire.on("BatchUpdateFindings", come)
    tell(cloud, arn_of("1"))
    assert [late] == list(ledger.read([arn_of("1")])[arn_of("1")].owed_notes().values())


OPENED = Account(key=f"aws/{OTHER}", rollbacks=(NOW, NOW, NOW), breaker_opened_at=NOW)


def test_people_hear_of_a_breaker_that_opened_and_how_to_close_it(cloud: Cloud) -> None:
    """The message has the exact call; a subscriber can filter by account."""
    teller(cloud).breaker_opened(OPENED)
    (message,) = cloud.published()
    assert f"account {OTHER}: 3 instances" in message["Subject"]
    assert {"reason": "breaker_open", "account": OTHER, "owner": OTHER, "kind": "breaker"} == {
        name: each["StringValue"] for name, each in message["MessageAttributes"].items()
    }
    text = message["Message"]
    (call,) = (json.loads(text[begin:end]) for begin, end in commands_in(text))
    assert {"close_breaker": {"account": OTHER}, "dry_run": False, "caller": "YOUR NAME"} == call
    assert f"  [1] imdsv2 close-breaker --account {OTHER}\n" in text


def test_a_breaker_of_which_nobody_can_be_told_is_open_all_the_same(cloud: Cloud) -> None:
    """The alarm notifies, too; the pass of the guard continues."""
    cloud.wire.refuse("Publish", "InternalErrorException")
    teller(cloud).breaker_opened(OPENED)
    assert 1 == len(cloud.wire.made("Publish"))


@pytest.mark.parametrize(
    "reason", ["canary_wait", "cap_reached", "calendar_closed", "not_ready", "evidence_incomplete"]
)
def test_what_passes_by_itself_is_never_mailed(reason: str, cloud: Cloud) -> None:
    """There is nothing to do; the note on the finding says it all the same, and nothing stays owed."""
    arn, one = arn_of("1"), known_finding("1")
    record(cloud, arn, one, reason=reason)
    tell(cloud, arn)
    assert [] == cloud.published()
    assert reason in cloud.hub.findings[one.id]["note"]
    assert not cloud.ledger().read([arn])[arn].owes_telling


def test_a_notice_carries_its_evidence(cloud: Cloud) -> None:
    """The owner decides by it whether to object."""
    arn = arn_of("1")
    window = {"window_start": "2026-10-16T00:00:00Z", "window_end": "2026-11-20T00:00:00Z"}
    evidence = {**window, "tokenless_calls": 0, "observed_hours": 840, "coverage": 0.99}
    owner = {"reason": "notice_given", "told_owner": "team red", "evidence": evidence}
    record(cloud, arn, explanation="It would be changed.", **owner)
    tell(cloud, arn)
    (message,) = cloud.published()
    assert "0 IMDSv1 calls from 2026-10-16T00:00:00Z to 2026-11-20T00:00:00Z" in message["Message"]
    assert "observed in 840 hours, which are 99% of those in which it ran" in message["Message"]
    told = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
    assert ("notice", "team red") == (told["kind"], told["owner"])
