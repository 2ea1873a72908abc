"""The ledger on a table with the stack's keys: who may write, what is kept, and how concurrent writers are handled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws.errors import error_message
from imdsv2.domain.history import Hold, Undo
from imdsv2.domain.lifecycle import Status
from imdsv2.errors import LedgerContended
from imdsv2.ledger import items, transactions
from imdsv2.ledger.change import Enforced
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.findings import FINDINGS_KEPT
from imdsv2.ledger.record import Record
from imdsv2.ledger.record_values import OPEN, OVER
from imdsv2.ledger.told import Told
from tests.integration.builders import HUB, MEMBER, NOW, OTHER, TABLE, arn_of, known_finding
from tests.world.records import change
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from datetime import datetime

    from botocore.exceptions import ClientError

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.table import Ledger
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

COMMON = {"pk", "sk", "kind", "schema", "service_version", "trail_day"}
"""What every event has, written outside an invocation that has read the policy."""

ARN = arn_of("a")
ACCOUNT = f"aws/{MEMBER}"
COHORT = f"aws/{MEMBER}/eu-west-1/image:ami-1"
HELD = {"status": Status.HELD, "decision": "hold", "reason": "v1_in_use", "decided_at": NOW}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (items, transactions):
        monkeypatch.setattr(module, "pause", lambda _: None)


@pytest.fixture
def ledger(cloud: Cloud) -> Ledger:
    """The ledger as one function uses it."""
    return cloud.ledger()


def entry_of(ledger: Ledger, arn: InstanceArn = ARN) -> Record:
    """The current entry in the ledger."""
    return ledger.read([arn])[arn]


def write(ledger: Ledger, *findings: Finding, arn: InstanceArn = ARN, **attributes: Any) -> Record:
    """Overwrite attributes; returns the resulting entry."""
    assert set() == ledger.write([change(entry_of(ledger, arn), *findings, **(HELD | attributes))], NOW).lost
    return entry_of(ledger, arn)


def cancelled(*codes: str) -> ClientError:
    """DynamoDB's refusal of a transaction, with a code for each action."""
    reasons = [{"Code": code} for code in codes]
    return refusal("TransactionCanceledException", "cancelled", "TransactWriteItems", CancellationReasons=reasons)


def test_an_unknown_instance_reads_as_an_empty_entry(ledger: Ledger) -> None:
    """It has never been judged."""
    assert {ARN: Record(arn=ARN)} == ledger.read([ARN])


def test_what_is_written_is_read(ledger: Ledger) -> None:
    """Attributes, times, numbers, nested documents and findings survive the round trip."""
    seen = known_finding("x", annotated_at=NOW)
    entry = write(
        ledger, seen, evidence={"coverage": 0.99, "last_tokenless_call": None}, enforced_at=NOW, confirmed=True
    )
    assert 1 == entry.version
    assert {key_of(seen): seen} == entry.findings
    assert (NOW, True, None) == (entry.history.enforced_at, entry.history.confirmed, entry.history.cleared_at)
    assert 0.99 == pytest.approx(float((entry.evidence or {})["coverage"]))
    assert "held" == entry.status


def test_a_change_shows_beforehand_what_it_will_make_of_the_entry(ledger: Ledger) -> None:
    """The pipeline continues with `applied` without reading again, so it must equal the written item."""
    write(ledger, known_finding("old"), owner="somebody")
    made = change(entry_of(ledger), known_finding("new"), owner=None, revisit_at=NOW)
    ledger.write([made], NOW)
    told_first = replace(entry_of(ledger), revisits_to_tell=made.after.revisits_to_tell)
    assert made.applied() == told_first, "but for what the ledger itself brings forward"


def test_many_are_read_a_hundred_at_a_time(ledger: Ledger, cloud: Cloud) -> None:
    """DynamoDB reads at most 100 items per call; reads are consistent."""
    arns = [arn_of(f"{number:x}") for number in range(250)]
    assert set(arns) == set(ledger.read(arns))
    asked = [call.params["RequestItems"][TABLE] for call in cloud.wire.made("BatchGetItem")]
    assert [50, 100, 100] == sorted(len(each["Keys"]) for each in asked)
    assert all(each["ConsistentRead"] for each in asked)


def test_what_dynamodb_leaves_unread_is_asked_for_again(ledger: Ledger, cloud: Cloud) -> None:
    """Unprocessed keys are not absent items: treating them as absent would forget what was done to an instance."""
    write(ledger)
    refused = iter([True, False])

    def leave(call: Call) -> dict[str, Any] | None:
        return {"Responses": {}, "UnprocessedKeys": call.params["RequestItems"]} if next(refused) else None

    cloud.wire.on("BatchGetItem", leave)
    assert 1 == entry_of(ledger).version


def test_what_is_read_in_several_answers_is_whole(ledger: Ledger, cloud: Cloud) -> None:
    """Each answer counts, and only what it left undone is asked for again."""
    arns = [arn_of(f"{number:x}") for number in range(7)]
    ledger.write([change(ledger.read([each])[each], **HELD) for each in arns], NOW)
    sizes: list[int] = []

    def two_at_a_time(call: Call) -> dict[str, Any]:
        keys = call.params["RequestItems"][TABLE]["Keys"]
        sizes.append(len(keys))
        given = [cloud.client("dynamodb").get_item(TableName=TABLE, Key=each)["Item"] for each in keys[:2]]
        left = {TABLE: {"Keys": keys[2:], "ConsistentRead": True}} if keys[2:] else {}
        return {"Responses": {TABLE: given}, "UnprocessedKeys": left}

    cloud.wire.on("BatchGetItem", two_at_a_time)
    assert [1] * 7 == [each.version for each in ledger.read(arns).values()]
    assert [7, 5, 3, 1] == sizes


def test_a_read_that_dynamodb_never_finishes_is_an_error(ledger: Ledger, cloud: Cloud) -> None:
    """A partial read is not used: the message is retried."""
    cloud.wire.on(
        "BatchGetItem", lambda call: {"Responses": {}, "UnprocessedKeys": {TABLE: call.params["RequestItems"][TABLE]}}
    )
    with pytest.raises(LedgerContended):
        ledger.read([ARN])


def test_who_has_not_seen_the_newest_version_loses(ledger: Ledger) -> None:
    """With two readers of one version, the first write wins; the second gets an error and changes nothing."""
    first = write(ledger)
    write(ledger, reason="no_evidence")
    late = change(first, **(HELD | {"reason": "too_young"}))
    assert {ARN} == ledger.write([late], NOW).lost
    assert "no_evidence" == entry_of(ledger).reason


@pytest.mark.parametrize("known", [False, True])
def test_of_many_writers_at_once_exactly_one_wins(known: bool, ledger: Ledger, cloud: Cloud) -> None:
    """The conditional write decides who acts, on a new item as on an existing one."""
    if known:
        write(ledger)
    before = entry_of(ledger)
    writers = [cloud.ledger() for _ in range(8)]

    def enforce(number: int) -> frozenset[InstanceArn]:
        return writers[number].write([change(before, status=Status.ENFORCING, owner=f"writer-{number}")], NOW).lost

    with ThreadPoolExecutor(len(writers)) as pool:
        lost = list(pool.map(enforce, range(len(writers))))
    assert 1 == lost.count(frozenset())
    assert f"writer-{lost.index(frozenset())}" == entry_of(ledger).owner
    assert 1 == cloud.history(ARN).count("enforcing")
    assert before.version + 1 == entry_of(ledger).version


def test_a_batch_goes_in_transactions_of_at_most_a_hundred_actions(ledger: Ledger, cloud: Cloud) -> None:
    """An instance's item and its event are written in the same transaction."""
    arns = [arn_of(f"{number:x}") for number in range(101)]
    changes = [change(Record(arn=arn), **HELD) for arn in arns]
    assert set() == ledger.write(changes, NOW).lost
    sizes = [len(call.params["TransactItems"]) for call in cloud.wire.made("TransactWriteItems")]
    assert [2, 100, 100] == sorted(sizes)
    assert 202 == len(cloud.items())


def test_one_that_was_overtaken_does_not_hold_up_the_others(ledger: Ledger, cloud: Cloud) -> None:
    """A transaction is cancelled as a whole; items whose condition held go into the next one."""
    arns = [arn_of(f"{number:x}") for number in range(5)]
    before = ledger.read(arns)
    write(ledger, arn=arns[2])
    changes = [change(before[arn], status=Status.SKIPPED) for arn in arns]
    assert {arns[2]} == ledger.write(changes, NOW).lost
    assert ["skipped", "skipped", "held", "skipped", "skipped"] == [entry_of(ledger, arn).status for arn in arns]


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_writer_that_only_met_another_tries_again(code: str, ledger: Ledger, cloud: Cloud) -> None:
    """None of these codes means that the condition failed."""
    refusals = iter([cancelled("None", code), cancelled(code, "None"), None])

    def meet(_: Call) -> None:
        if (error := next(refusals)) is not None:
            raise error

    cloud.wire.on("TransactWriteItems", meet)
    write(ledger)
    assert "held" == entry_of(ledger).status


def test_a_writer_that_meets_others_for_ever_gives_up_for_now(ledger: Ledger, cloud: Cloud) -> None:
    """The message is retried later, so that the function does not wait until it is killed."""

    def meet(_: Call) -> None:
        raise cancelled("TransactionConflict", "None")

    cloud.wire.on("TransactWriteItems", meet)
    written = ledger.write([change(Record(arn=ARN), **HELD)], NOW)
    assert {ARN: LedgerContended} == {arn: type(error) for arn, error in written.failed.items()}


@pytest.mark.parametrize("codes", [("ValidationError", "None"), ("None", "ItemCollectionSizeLimitExceeded")])
def test_a_refusal_that_no_retry_helps_is_a_failure(codes: tuple[str, str], ledger: Ledger, cloud: Cloud) -> None:
    """It must not be mistaken for a lost race, which is not reported."""

    def refuse(_: Call) -> None:
        raise cancelled(*codes)

    cloud.wire.on("TransactWriteItems", refuse)
    written = ledger.write([change(Record(arn=ARN), **HELD)], NOW)
    assert (frozenset(), "cancelled") == (written.overtaken, error_message(written.failed[ARN]))


def test_every_change_of_status_leaves_one_event(ledger: Ledger, cloud: Cloud) -> None:
    """A verdict that keeps the status leaves one of its own kind, which nobody takes for a move."""
    write(ledger)
    write(ledger, reason="no_evidence")
    write(ledger, status=Status.ENFORCING, before={"HttpTokens": "optional"}, session="session-1", caller=None)
    (event,) = [each for each in cloud.items() if each.get("status") == "enforcing" and each["sk"] != "current"]
    assert ["held", "enforcing"] == sorted(cloud.history(ARN), reverse=True)
    assert {"HttpTokens": "optional"} == event["before"]
    assert event["sk"].startswith("event#2026-11-20T12:00:00.000000Z#")
    assert {"status", "decision", "reason", "before", "session", "status_before", "reason_before", *COMMON} == set(
        event
    )
    (reason,) = [each for each in cloud.items() if each.get("kind") == "reason_changed"]
    assert ("held", "no_evidence", "v1_in_use") == (reason["status"], reason["reason"], reason["reason_before"])


def test_a_move_that_makes_no_sense_is_not_written(ledger: Ledger, cloud: Cloud) -> None:
    """It would be a defect of the service; it fails, and the others of its batch are written."""
    entry = write(ledger)
    other = change(Record(arn=arn_of("b")), **HELD)
    written = ledger.write([other, change(entry, status=Status.ENFORCED)], NOW)
    assert {ARN: "status enforced may not follow held; nothing was written"} == {
        arn: str(error) for arn, error in written.failed.items()
    }
    assert (entry, "held") == (entry_of(ledger), entry_of(ledger, arn_of("b")).status)


def test_an_attribute_of_none_is_removed_and_the_rest_stays(ledger: Ledger) -> None:
    """A verdict does not overwrite history that it does not mention."""
    write(ledger, enforced_at=NOW, confirmed=True, owner="somebody")
    entry = write(ledger, owner=None)
    assert entry.owner is None
    assert NOW == entry.history.enforced_at


def test_findings_are_written_one_by_one(ledger: Ledger) -> None:
    """Writing one finding does not undo another writer's finding."""
    one, two, three = (known_finding(name) for name in ("one", "two", "three"))
    write(ledger, one)
    seen_by_the_first = entry_of(ledger)
    ledger.add_finding(seen_by_the_first, two)
    assert set() == ledger.write([change(seen_by_the_first, three, **HELD)], NOW).lost
    assert {key_of(each): each for each in (one, two, three)} == entry_of(ledger).findings


def test_a_finding_is_added_while_somebody_enforces_without_overtaking_him(ledger: Ledger) -> None:
    """The enforcing function still owns the item; its final write does not lose against the addition of a finding."""
    enforcing = write(ledger, status=Status.ENFORCING, owner="him", lease_until=NOW + timedelta(minutes=6))
    added = ledger.add_finding(enforcing, known_finding("late", updated_at=None))
    assert added is not None
    assert {known_finding("late", updated_at=None)} == set(added.findings.values())
    last_word = change(enforcing, status=Status.ENFORCED, enforced_at=NOW)
    assert set() == ledger.write([last_word], NOW).lost
    assert 1 == len(entry_of(ledger).findings)


def test_a_finding_is_not_added_to_an_item_that_has_gone(ledger: Ledger, cloud: Cloud) -> None:
    """It would create an item without a verdict."""
    assert ledger.add_finding(Record(arn=ARN, version=3), known_finding("x")) is None
    assert [] == cloud.items()


def test_the_newest_two_hundred_findings_are_kept(ledger: Ledger) -> None:
    """An item is limited to 400 KB; the oldest findings are dropped, whichever writer adds the newest."""
    old = [known_finding(f"{age}", updated_at=NOW - timedelta(hours=age)) for age in range(1, FINDINGS_KEPT + 1)]
    write(ledger, *old)
    entry = write(ledger, known_finding("new"))
    assert FINDINGS_KEPT == len(entry.findings)
    assert key_of(known_finding("new")) in entry.findings
    assert key_of(old[-1]) not in entry.findings
    added = ledger.add_finding(entry, known_finding("newer", updated_at=NOW + timedelta(hours=1)))
    assert added is not None
    assert FINDINGS_KEPT == len(added.findings)
    assert key_of(old[-2]) not in added.findings


def test_no_more_than_two_hundred_findings_are_kept_from_the_start(ledger: Ledger) -> None:
    """A first verdict with too many findings keeps the newest, too."""
    many = [known_finding(f"{age}", updated_at=NOW - timedelta(hours=age)) for age in range(FINDINGS_KEPT + 50)]
    entry = write(ledger, *many)
    assert {key_of(each) for each in many[:FINDINGS_KEPT]} == set(entry.findings)


def test_what_was_told_is_noted_on_the_verdict_it_was_told_of(ledger: Ledger) -> None:
    """Notes and notification are marked as sent, each finding separately."""
    one, two = known_finding("one"), known_finding("two")
    entry = write(ledger, one, two, changed_at=NOW)
    later = NOW + timedelta(seconds=5)
    ledger.mark_told({ARN: Told(record=entry, annotated=frozenset({key_of(one)}), notified=True)}, later)
    marked = entry_of(ledger)
    assert {key_of(two)} == set(marked.owed_notes())
    assert not marked.owes_notification()
    assert entry.version == marked.version


def test_what_was_told_is_not_noted_on_a_later_verdict(ledger: Ledger) -> None:
    """The new verdict owes its own note."""
    one = known_finding("one")
    entry = write(ledger, one, changed_at=NOW)
    write(ledger, reason="no_evidence", changed_at=NOW + timedelta(seconds=1))
    ledger.mark_told({ARN: Told(record=entry, annotated=frozenset({key_of(one)}), notified=True)}, NOW)
    now_known = entry_of(ledger)
    assert {key_of(one)} == set(now_known.owed_notes())
    assert now_known.owes_notification()


def test_a_note_that_was_overwritten_by_an_older_one_is_due_soon(ledger: Ledger) -> None:
    """The newer verdict's note was written, and marked, before the older one came late."""
    one = known_finding("one")
    older = write(ledger, one, changed_at=NOW)
    newer = write(
        ledger, reason="no_evidence", changed_at=NOW + timedelta(seconds=1), revisit_at=NOW + timedelta(days=1)
    )
    keys = frozenset({key_of(one)})
    marked_at = NOW + timedelta(seconds=2)
    ledger.mark_told({ARN: Told(record=newer, annotated=keys, notified=True)}, marked_at)
    assert {} == entry_of(ledger).owed_notes()
    ledger.mark_told({ARN: Told(record=older, annotated=keys, notified=True)}, marked_at)
    found = entry_of(ledger)
    assert keys == set(found.owed_notes())
    assert found.revisit_at is not None
    assert found.revisit_at <= marked_at + timedelta(minutes=15)
    assert found.revisits_to_tell


def test_a_later_verdict_owes_its_note_again(ledger: Ledger) -> None:
    """An older note has an older reason."""
    told = write(ledger, known_finding("one", annotated_at=NOW), changed_at=NOW, notified_at=NOW)
    assert ({}, False) == (told.owed_notes(), told.owes_notification())
    changed = write(ledger, changed_at=NOW + timedelta(hours=1))
    assert (1, True) == (len(changed.owed_notes()), changed.owes_notification())


def test_the_longest_overdue_come_first_from_all_shards(ledger: Ledger) -> None:
    """Instances that are not due yet, or are final, are left alone."""
    due = [NOW - timedelta(minutes=minutes) for minutes in range(40)]
    arns = [arn_of(f"{number:x}") for number in range(40)]
    for arn, when in zip(arns, due, strict=True):
        write(ledger, arn=arn, revisit_at=when)
    write(ledger, arn=arn_of("fff"), revisit_at=NOW + timedelta(seconds=1))
    write(ledger, arn=arn_of("eee"), revisit_at=NOW - timedelta(days=1))
    write(ledger, arn=arn_of("eee"), revisit_at=None)
    assert list(reversed(arns))[:30] == list(ledger.indexes.due(NOW, 30))
    assert set(arns) == set(ledger.indexes.due(NOW, 100))


def test_of_many_who_claim_what_is_due_each_gets_his_own(ledger: Ledger, cloud: Cloud) -> None:
    """An instance is re-evaluated by one function only."""
    arns = [arn_of(f"{number:x}") for number in range(20)]
    for arn in arns:
        write(ledger, arn=arn, revisit_at=NOW)
    due = ledger.indexes.due(NOW, 100)
    claimants = [cloud.ledger() for _ in range(4)]
    with ThreadPoolExecutor(len(claimants)) as pool:
        taken = list(pool.map(lambda each: each.claim(due, NOW + timedelta(minutes=6)), claimants))
    assert sorted(arns) == sorted(arn for each in taken for arn in each)
    assert {} == ledger.indexes.due(NOW, 100)


def test_what_was_judged_meanwhile_cannot_be_claimed(ledger: Ledger) -> None:
    """The claim requires the due time at which the instance was found."""
    write(ledger, revisit_at=NOW)
    due = ledger.indexes.due(NOW, 10)
    write(ledger, revisit_at=NOW + timedelta(hours=24))
    assert [] == ledger.claim(due, NOW + timedelta(minutes=6))


def test_a_claim_does_not_overtake_whoever_is_judging(ledger: Ledger) -> None:
    """It changes only the time; a function that has read the item may still write it."""
    read = write(ledger, revisit_at=NOW)
    assert [ARN] == ledger.claim(ledger.indexes.due(NOW, 10), NOW + timedelta(minutes=6))
    assert set() == ledger.write([change(read, **HELD)], NOW).lost


def test_the_last_good_policy_is_remembered(cloud: Cloud) -> None:
    """With the time at which it was read; initially there is none."""
    kept = cloud.last_good_policy()
    assert kept.read() is None
    kept.keep('{"mode": "enforce"}', NOW, 1, NOW)
    assert ('{"mode": "enforce"}', NOW) == kept.read()


def enforce(ledger: Ledger, arn: InstanceArn, when: datetime = NOW, **attributes: Any) -> Record:
    """An instance enforced at the given time, and under watch."""
    write(ledger, arn=arn, status=Status.ENFORCING, cohort=COHORT)
    return write(ledger, arn=arn, status=Status.ENFORCED, enforced_at=when, watch=OPEN, **attributes)


def test_what_is_watched_in_an_account_is_found_without_looking_at_the_rest(ledger: Ledger, cloud: Cloud) -> None:
    """In every Region of the account; held instances, and those no longer watched, are left out."""
    here, there = arn_of("1"), arn_of("2", region="us-east-1")
    enforce(ledger, here, restarted_at=NOW + timedelta(hours=1))
    enforce(ledger, there, undo=Undo(why="Asked.", by="alice", at=NOW, request_id="request-0"))
    enforce(ledger, arn_of("3", account=OTHER))
    enforce(ledger, arn_of("4"))
    write(ledger, arn=arn_of("4"), watch=OVER)
    write(ledger, arn=arn_of("5"))
    seen: dict[str, Any] = {"status": "enforced", "enforced_at": NOW, "cohort": COHORT}
    expected = [
        Enforced(arn=here, restarted_at=NOW + timedelta(hours=1), asked_back=False, **seen),
        Enforced(arn=there, restarted_at=None, asked_back=True, **seen),
    ]
    assert expected == sorted(ledger.indexes.watched(ACCOUNT), key=lambda each: each.arn.instance_id)
    assert ["enforced"] == [call.params["IndexName"] for call in cloud.wire.made("Query")]


def test_what_was_enforced_since_a_time_is_found_whether_or_not_it_is_still_watched(ledger: Ledger) -> None:
    """From exactly that time on; the circuit breaker's share and an undo since a time are based on this."""
    before, at, after, over = (arn_of(name) for name in "1234")
    for arn, hours in ((before, -1), (at, 0), (after, 1), (over, 2)):
        enforce(ledger, arn, NOW + timedelta(hours=hours))
    write(ledger, arn=over, watch=OVER)
    enforce(ledger, arn_of("5", account=OTHER), NOW + timedelta(hours=1))
    assert [at, after, over] == sorted(each.arn for each in ledger.indexes.enforced_since(ACCOUNT, NOW))


def test_an_enforcement_anew_stands_at_its_new_time(ledger: Ledger) -> None:
    """An instance has one entry in the index: the old one is removed."""
    arn = arn_of("1")
    enforce(ledger, arn, NOW - timedelta(days=30))
    write(ledger, arn=arn, watch=OVER)
    enforce(ledger, arn, NOW)
    assert [NOW] == [each.enforced_at for each in ledger.indexes.enforced_since(ACCOUNT, NOW - timedelta(days=60))]


def test_however_many_are_watched_all_are_found(ledger: Ledger, cloud: Cloud) -> None:
    """DynamoDB answers in pages of 1 MB; breakage of a missed instance would go undetected."""
    arns = [arn_of(name) for name in "123"]
    for arn in arns:
        enforce(ledger, arn)
    outside = cloud.as_account(HUB, "dynamodb")

    def one_a_page(call: Call) -> dict[str, Any]:
        page: dict[str, Any] = outside.query(**call.params, Limit=1)
        del page["ResponseMetadata"]
        return page

    cloud.wire.on("Query", one_a_page)
    assert arns == sorted(each.arn for each in ledger.indexes.watched(ACCOUNT))
    assert len(cloud.wire.made("Query")) >= 3


def test_what_waits_in_an_account_is_found_in_all_shards(ledger: Ledger) -> None:
    """Due or not; instances that are never re-evaluated do not wait."""
    arns = [arn_of(f"{number:x}") for number in range(20)]
    for arn in arns:
        write(ledger, arn=arn, revisit_at=NOW + timedelta(days=3))
    write(ledger, arn=arn_of("aaa"), status="skipped")
    write(ledger, arn=arn_of("bbb", account=OTHER), revisit_at=NOW)
    assert arns == ledger.indexes.waiting(ACCOUNT)
    assert [] == ledger.indexes.waiting(f"aws-cn/{MEMBER}")


@pytest.mark.parametrize("status", [Status.ENFORCING, Status.ROLLING_BACK])
def test_a_lease_binds_until_it_is_over(status: Status) -> None:
    """To the second, whatever the status: what an attempt left behind is settled under a lease too."""
    leased = Record(arn=ARN, version=1, status=status, lease_until=NOW + timedelta(minutes=6))
    end = NOW + timedelta(minutes=6)
    assert [True, False] == [leased.is_leased(end - timedelta(seconds=1)), leased.is_leased(end)]
    assert replace(leased, status=Status.HELD).is_leased(NOW)
    assert not replace(leased, lease_until=None).is_leased(NOW)


@pytest.mark.parametrize(("cleared_hours_later", "broken"), [(None, True), (-1, True), (0, False), (1, False)])
def test_what_broke_is_broken_until_a_person_clears_it(
    cleared_hours_later: int | None, broken: bool, ledger: Ledger
) -> None:
    """A clearance before the breakage does not cover it."""
    cleared_at = None if cleared_hours_later is None else NOW + timedelta(hours=cleared_hours_later)
    assert broken is write(ledger, broken_at=NOW, cleared_at=cleared_at).is_broken
    assert not write(ledger, broken_at=None).is_broken


def test_a_person_s_hold_and_a_rollback_are_part_of_the_history(ledger: Ledger) -> None:
    """The decision reads these, never the status."""
    hold = {"owner": "alice", "reason": "Until the release.", "until": "2026-12-24"}
    history = write(ledger, rolled_back_at=NOW, hold=hold).history
    assert NOW == history.rolled_back_at
    assert Hold(owner="alice", reason="Until the release.", until=date(2026, 12, 24)) == history.hold
    assert write(ledger, hold=None).history.hold is None
