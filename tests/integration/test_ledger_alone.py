"""Each write for itself: what DynamoDB throttles, refuses or answers too late keeps no other instance from being written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ReadTimeoutError

from imdsv2.domain.lifecycle import Status
from imdsv2.errors import LedgerContended
from imdsv2.ledger import transactions
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.told import Told
from tests.integration.builders import NOW, arn_of, known_finding
from tests.world.lossy import LossyTable, is_record_of, throttled
from tests.world.records import change
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.ledger.transactions import Written
    from tests.world.dynamodb import Item

HELD = {"status": Status.HELD, "decision": "hold", "reason": "v1_in_use", "decided_at": NOW}
ARNS = [arn_of(f"{number:x}") for number in range(260)]
HOT = ARNS[7]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "pause", lambda _: None)


def write(ledger: Ledger, arns: Sequence[InstanceArn] = ARNS, **attributes: object) -> Written:
    """A verdict for each instance."""
    before = ledger.read(arns)
    return ledger.write([change(before[arn], **(HELD | attributes)) for arn in arns], NOW)


def written(ledger: Ledger, arns: Sequence[InstanceArn] = ARNS) -> set[InstanceArn]:
    """The instances that have a verdict."""
    return {arn for arn, record in ledger.read(arns).items() if record.version}


def concerns(arn: InstanceArn, actions: Sequence[Item]) -> bool:
    """Whether an instance is among a transaction's."""
    return any(is_record_of(arn, each) for each in actions)


def hot(code: str, *, whole: bool = False, status: int = 400) -> Callable[[Sequence[Item]], None]:
    """Refuses every transaction with the hot item: as a whole, or with DynamoDB's reason for each action."""

    def refuse(actions: Sequence[Item]) -> None:
        if not concerns(HOT, actions):
            return
        if whole:
            raise refusal(code, "no", "TransactWriteItems", status=status)
        codes = [code if is_record_of(HOT, each) else "None" for each in actions]
        reasons = [{"Code": each} for each in codes]
        raise refusal("TransactionCanceledException", "no", "TransactWriteItems", CancellationReasons=reasons)

    return refuse


def test_a_throttled_transaction_is_tried_again_and_those_behind_it_are_sent(ledger: Ledger, table: LossyTable) -> None:
    """A sweep writes a thousand verdicts in twenty transactions, of which the first is throttled once."""
    refusals = [throttled()]

    def refuse(_: Sequence[Item]) -> None:
        if refusals:
            raise refusals.pop()

    table.refuse = refuse
    many = [arn_of(f"{number:x}") for number in range(1000)]
    assert frozenset() == write(ledger, many).lost
    assert set(many) == written(ledger, many)


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [
        (hot("TransactionConflict"), LedgerContended),
        (hot("ThrottlingError"), LedgerContended),
        (hot("ValidationError"), Exception),
        (hot("ValidationException", whole=True), Exception),
        (hot("ItemCollectionSizeLimitExceeded"), Exception),
        (hot("ThrottlingException", whole=True), Exception),
        (hot("InternalServerError", whole=True, status=500), Exception),
    ],
)
def test_one_item_that_cannot_be_written_fails_alone(
    refuse: Callable[[Sequence[Item]], None], kind: type[Exception], ledger: Ledger, table: LossyTable
) -> None:
    """A person's command holds it, or it is full, or its partition is down: the 259 others are written."""
    table.refuse = refuse
    done = write(ledger)
    assert (frozenset(), {HOT}) == (done.overtaken, set(done.failed))
    assert isinstance(done.failed[HOT], kind)
    assert set(ARNS) - {HOT} == written(ledger)


def test_a_hot_item_is_written_once_it_cools_down(ledger: Ledger, table: LossyTable) -> None:
    """Another writer holds it for three tries; then it is written too."""
    tries = 0

    def refuse(actions: Sequence[Item]) -> None:
        nonlocal tries
        tries += concerns(HOT, actions)
        if tries <= 3:
            hot("TransactionConflict")(actions)

    table.refuse = refuse
    assert frozenset() == write(ledger).lost


def test_what_was_overtaken_is_told_from_what_failed(ledger: Ledger, table: LossyTable) -> None:
    """One has a newer verdict by now, another holds the batch up: each is reported as what it is."""
    before = ledger.read(ARNS)
    write(ledger, ARNS[:1])
    table.refuse = hot("ValidationError")
    done = ledger.write([change(before[arn], **HELD) for arn in ARNS], NOW)
    assert (frozenset(ARNS[:1]), {HOT}) == (done.overtaken, set(done.failed))
    assert {*ARNS[:1], HOT} == done.lost


def test_an_outage_does_not_use_up_the_functions_time(ledger: Ledger, table: LossyTable) -> None:
    """No transaction is answered, which takes a minute and a half each: after a few, no other is sent, and all have failed."""

    def refuse(_: Sequence[Item]) -> None:
        raise ReadTimeoutError(endpoint_url="https://dynamodb")

    table.refuse = refuse
    many = [arn_of(f"{number:x}") for number in range(1000)]
    assert set(many) == set(write(ledger, many).failed)
    assert len(table.tokens) <= 8


def test_a_table_that_refuses_everything_is_not_asked_for_each_instance(ledger: Ledger, table: LossyTable) -> None:
    """Its key was revoked: every transaction is sent, but they are not halved for ever."""

    def refuse(_: Sequence[Item]) -> None:
        raise refusal("AccessDeniedException", "no", "TransactWriteItems")

    table.refuse = refuse
    many = [arn_of(f"{number:x}") for number in range(1000)]
    assert set(many) == set(write(ledger, many).failed)
    assert len(table.tokens) <= 250


def test_one_item_that_cannot_be_marked_keeps_no_other_from_it(ledger: Ledger, table: LossyTable) -> None:
    """Notes are sent for all; the hot one stays owed and is told again."""
    one = known_finding("one")
    ledger.write([change(record, one, **HELD) for record in ledger.read(ARNS).values()], NOW)
    told = {arn: told_of(record) for arn, record in ledger.read(ARNS).items()}
    table.refuse = hot("TransactionConflict")
    assert {HOT} == set(ledger.mark_told(told, NOW).failed)
    owing = {arn for arn, record in ledger.read(ARNS).items() if record.owed_notes() or record.owes_notification()}
    assert {HOT} == owing


def told_of(record: Record) -> Told:
    """Everybody was told of a record."""
    return Told(record=record, annotated=frozenset(map(key_of, record.findings.values())), notified=True)


def test_one_item_that_cannot_be_claimed_stays_due(ledger: Ledger, table: LossyTable) -> None:
    """The others of the batch are evaluated now, it is at the next run."""
    write(ledger, revisit_at=NOW)
    due = ledger.indexes.due(NOW, 300)
    table.refuse = hot("TransactionConflict")
    assert set(ARNS) - {HOT} == set(ledger.claim(due, NOW.replace(hour=13)))
    assert {HOT} == set(ledger.indexes.due(NOW, 300))


def test_a_claim_of_which_nothing_can_be_written_is_an_error(ledger: Ledger, table: LossyTable) -> None:
    """Otherwise a table that refuses every write would look like one with nothing due."""
    write(ledger, [HOT], revisit_at=NOW)
    table.refuse = hot("AccessDeniedException", whole=True)
    with pytest.raises(Exception, match="AccessDenied"):
        ledger.claim(ledger.indexes.due(NOW, 300), NOW.replace(hour=13))
