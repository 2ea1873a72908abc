"""The audit trail: one event for every decision, written with the change, and never overwritten by somebody who looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from imdsv2.domain.history import Acceptance, Answer, Hold, Undo
from imdsv2.domain.lifecycle import Status
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.change import Change
from imdsv2.ledger.pool import Pools
from imdsv2.ledger.record import Record
from imdsv2.ledger.table import Ledger
from imdsv2.ledger.told import Told
from imdsv2.ledger.trail import TRAIL_SHARDS, Author, Event, Kind, Provenance, trail_day, trail_days
from tests.integration.builders import NOW, TABLE, arn_of, count_broken
from tests.world.dynamodb import Table

ARN = arn_of("7e1")
HOUR = timedelta(hours=1)
BY = Author(caller="ann", request_id="request-7", source="manual", because="Release week.")
HELD = Record(arn=ARN, status="held", decision="hold", reason="unused", decided_at=NOW)


class Book:
    """A ledger in memory, and what its trail tells."""

    def __init__(self) -> None:
        self.table = Table()
        self.provenance = Provenance(lambda: "invocation-1", 12)
        self.ledger = Ledger(self.table.client, TABLE, self.provenance)
        self.accounts = Accounts(self.table.client, TABLE, self.provenance)
        self.pools = Pools(self.table.client, TABLE, self.provenance)

    def write(self, before: Record, after: Record, by: Author | None = BY, hours: int = 0) -> Record:
        """One change."""
        change = Change(before=before, after=after, by=by)
        assert not self.ledger.write([change], NOW + hours * HOUR).lost
        return self.ledger.read([ARN])[ARN]

    def events(self) -> list[dict[str, Any]]:
        """The trail in its order, plain."""
        decode = TypeDeserializer().deserialize
        found = [item for (_, sk), item in self.table.items.items() if sk.startswith(("event#", "decision#"))]
        plain = [{name: decode(value) for name, value in item.items()} for item in found]
        return sorted(plain, key=lambda each: str(each["sk"]).partition("#")[2])

    def kinds(self) -> list[str]:
        return [each["kind"] for each in self.events()]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def known(book: Book) -> Record:
    """An instance that waits, whose trail is empty."""
    record = book.write(Record(arn=ARN), HELD)
    for key in [key for key in book.table.items if key[1].startswith(("event#", "decision#"))]:
        del book.table.items[key]
    return record


HOLD = Hold(owner="blue", reason="Migration.", until=date(2026, 12, 24), by="ann", request_id="request-7", at=NOW)
APPROVED = Answer(word="approved", by="ann", request_id="request-7", at=NOW, expires_at=NOW + 24 * HOUR)
WORDS: list[tuple[Kind, dict[str, Any]]] = [
    (Kind.HOLD_SET, {"hold": HOLD}),
    (Kind.APPROVED, {"approval": APPROVED}),
    (Kind.REFUSED, {"approval": replace(APPROVED, word="refused", expires_at=None)}),
    (Kind.CLEARED, {"cleared_at": NOW, "cleared_by": "ann, request request-7"}),
    (Kind.MENDED, {"mended_at": NOW - HOUR, "mended_by": "ann, request request-7"}),
    (Kind.UNDO_REQUESTED, {"undo": Undo(by="ann", why="Ann asked.", at=NOW, request_id="request-7")}),
    (
        Kind.ACCEPTED,
        {
            "acceptance": Acceptance(
                owner="blue", reason="A probe.", until=date(2026, 12, 1), by="ann", request_id="r", at=NOW
            )
        },
    ),
]


@pytest.mark.parametrize(("kind", "fields"), WORDS)
def test_a_persons_word_is_an_event(kind: Kind, fields: dict[str, Any], book: Book, known: Record) -> None:
    """With the name as claimed, the request, the reason given, the policy and the version of the service."""
    book.write(known, replace(known, **fields))
    (event,) = book.events()
    assert (kind, "ann", "request-7", "manual") == tuple(
        event[name] for name in ("kind", "caller", "request_id", "source")
    )
    assert (12, "held", "unused") == (event["policy_version"], event["status"], event["reason"])
    assert {"because", "service_version", "schema", "trail_day"} <= event.keys()
    assert event["trail_day"] == trail_day(NOW, str(ARN))


def test_a_hold_that_takes_the_place_of_another_tells_whose_that_was(book: Book, known: Record) -> None:
    """Approved by one, held by a second, held again by a third, released: four events, in this order."""
    record = book.write(known, replace(known, approval=APPROVED))
    record = book.write(record, replace(record, hold=replace(HOLD, by="ben")), replace(BY, caller="ben"), 1)
    record = book.write(record, replace(record, hold=replace(HOLD, by="cleo")), replace(BY, caller="cleo"), 2)
    book.write(record, replace(record, hold=None, released_by="dan"), replace(BY, caller="dan"), 3)
    assert ["approved", "hold_set", "hold_set", "hold_released"] == book.kinds()
    assert ["ann", "ben", "cleo", "dan"] == [each["caller"] for each in book.events()]
    _, first, second, released = book.events()
    assert ("replaces" in first, "ben", "cleo") == (False, second["replaces"]["by"], released["replaces"]["by"])


def test_a_reason_that_changes_is_told_and_one_that_stays_is_not(book: Book, known: Record) -> None:
    """Whoever looks and finds the same leaves no trace; nobody decided anything."""
    record = book.write(known, replace(known, reason="no_evidence"))
    book.write(record, replace(record, decided_at=NOW + HOUR), hours=1)
    (event,) = book.events()
    assert ("reason_changed", "unused", "no_evidence") == (event["kind"], event["reason_before"], event["reason"])


def test_who_merely_looks_does_not_take_the_place_of_who_acted(book: Book, known: Record) -> None:
    """The record goes on naming the person who had it undone; the event of the look names the one who looked."""
    undone = replace(known, status="rolled_back", reason="undone_by_person", caller="ann", request_id="request-1")
    book.table.items[str(ARN), "current"] |= {"status": {"S": "rolled_back"}, "reason": {"S": "undone_by_person"}}
    undone = replace(undone, version=known.version)
    looked = book.write(undone, replace(undone, status="held"), Author(caller="ben", request_id="request-2"))
    (event,) = book.events()
    assert ("ben", "request-2") == (event["caller"], event["request_id"])
    assert ("rolled_back", "undone_by_person") == (event["status_before"], event["reason_before"])
    assert looked.status == "held"


def test_exemptions_are_told_when_they_are_seen_changed_and_over(book: Book, known: Record) -> None:
    """A look at which nobody could see the instance neither ends nor begins one."""
    exempt = replace(known, status="skipped", decision="skip", reason="exempt", ends_on=date(2026, 12, 1))
    record = book.write(known, exempt)
    record = book.write(record, replace(record, ends_on=date(2026, 12, 24)), hours=1)
    record = book.write(record, replace(record, status="held", reason="not_ready"), hours=2)
    record = book.write(record, replace(record, status="skipped", reason="exempt"), hours=3)
    book.write(record, replace(record, status="held", decision="hold", reason="v1_in_use", ends_on=None), hours=4)
    told = [(each["kind"], each["until"]) for each in book.events() if each["kind"].startswith("exemption")]
    days = ["2026-12-01", "2026-12-24", "2026-12-24"]
    assert list(zip(["exemption_seen", "exemption_seen", "exemption_ended"], days, strict=True)) == told


def test_a_hold_that_runs_out_is_told(book: Book, known: Record) -> None:
    """Nobody released it."""
    record = book.write(known, replace(known, hold=HOLD, reason="held_by_person"))
    book.write(record, replace(record, reason="v1_in_use"), hours=24 * 60)
    assert ["hold_ended", "reason_changed"] == book.kinds()[-2:]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.BROKE, {"broken_at": NOW}),
        (Kind.LEFT, {"left_because": "untagged", "explanation": "Its tag is gone."}),
        (Kind.NOTICE_DELIVERED, {"notice_ends_at": NOW + 48 * HOUR, "told_owner": "team red"}),
    ],
)
def test_what_the_service_finds_and_says_is_an_event(
    kind: Kind, fields: dict[str, Any], book: Book, known: Record
) -> None:
    """Nobody's name is on it, but the invocation's id."""
    book.write(known, replace(known, **fields), None)
    (event,) = book.events()
    assert (kind, "invocation-1", None) == (event["kind"], event["request_id"], event.get("caller"))


def test_a_notice_is_told_when_it_is_delivered(book: Book, known: Record) -> None:
    """That is not recorded as a change of the verdict."""
    noticed = replace(known, notice_ends_at=NOW + 48 * HOUR, told_owner="team red")
    book.ledger.mark_told({ARN: Told(record=known, notified=True, changed=noticed)}, NOW)
    (event,) = book.events()
    assert ("notice_delivered", "team red") == (event["kind"], event["owner"])


def test_the_breaker_is_told_when_it_opens_and_closes(book: Book) -> None:
    """Rollbacks that open nothing are told by their instances alone, and so is what follows while it is open."""
    for hours in range(4):
        count_broken(book.accounts, "aws/222222222222", 1, 4, NOW + hours * HOUR)
    book.accounts.close_breaker("aws/222222222222", "ann, request-7", BY, NOW + 9 * HOUR)
    opened, closed = book.events()
    assert ("breaker_opened", 3, "guard") == (opened["kind"], opened["rollbacks"], opened["source"])
    assert ("breaker_closed", 4, "ann") == (closed["kind"], closed["rollbacks"], closed["caller"])
    assert "account#aws/222222222222" == opened["pk"] == closed["pk"]


def test_a_word_about_a_cohort_is_told_with_it(book: Book) -> None:
    """The members that have ended have no record to tell it by."""
    key = "aws/222222222222/eu-west-1/group:jobs@lt-0e5f+3"
    event = Event(kind=Kind.CLEARED, details={"cohort": key, **BY.said()})
    book.pools.settle(key, NOW, event, NOW)
    (told,) = book.events()
    assert (f"cohort#{key}", "cleared", "ann") == (told["pk"], told["kind"], told["caller"])


def test_a_change_that_is_not_made_tells_nothing(book: Book, known: Record) -> None:
    """The event is part of the transaction, and another was quicker."""
    book.write(known, replace(known, reason="no_evidence"))
    told = len(book.events())
    late = Change(before=known, after=replace(known, status=Status.SKIPPED, hold=HOLD), by=BY)
    assert {ARN} == book.ledger.write([late], NOW).overtaken
    assert told == len(book.events())


def test_the_trail_of_a_time_is_read_by_days(book: Book, known: Record) -> None:
    """Every event lies in one of the index's partitions of its day, and in no other."""
    for days in range(3):
        known = book.write(known, replace(known, reason=f"reason-{days}"), hours=24 * days)
    found = [
        event["reason"]["S"]
        for day in trail_days(NOW + 24 * HOUR, NOW + 48 * HOUR)
        for event in book.table.query(
            IndexName="trail",
            KeyConditionExpression="trail_day = :day",
            ExpressionAttributeValues={":day": {"S": day}},
        )["Items"]
    ]
    assert ["reason-1", "reason-2"] == found
    assert TRAIL_SHARDS == len({trail_day(NOW, str(arn_of(str(number)))) for number in range(200)})
