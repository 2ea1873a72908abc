"""What a write sets is the difference of what two records store, no more and no less."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.history import Hold
from imdsv2.ledger.record import Record
from imdsv2.ledger.record_values import OPEN, OVER
from imdsv2.ledger.serialisation import changed_attributes
from tests.unit.builders import arn

ARN = arn()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIMES = st.sampled_from([None, NOON, NOON.astimezone(), NOON + timedelta(microseconds=1), NOON + timedelta(days=1)])
HOLD = Hold(by="ann", owner="team-a", reason="release", request_id="r-1", at=NOON, until=date(2026, 4, 1))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from([None, "held", "enforced"]),
    "evidence": st.sampled_from(
        [None, {}, {"share": 0.5}, {"share": Decimal("0.5000")}, {"at": NOON, "calls": 0}, {"at": None}]
    ),
    "revisit_at": TIMES,
    "enforced_at": TIMES,
    "watch": st.sampled_from([None, OPEN, OVER]),
    "confirmed": st.sampled_from([None, False, True]),
    "canary": st.booleans(),
    "hold": st.sampled_from([None, HOLD]),
    "ends_on": st.sampled_from([None, date(2026, 4, 1), date(2026, 4, 2)]),
    "owes": st.sampled_from([frozenset(), frozenset({"tag"}), frozenset({"tag", "count"})]),
    "name": st.sampled_from([None, "", "web"]),
}
RECORDS = st.fixed_dictionaries({}, optional=VALUES).map(lambda given: Record(arn=ARN, **given))


def item(record: Record) -> dict[str, Any]:
    """All that is stored of a record."""
    return changed_attributes(Record(arn=ARN), record)


@given(RECORDS, RECORDS)
def test_the_item_of_one_record_becomes_that_of_the_other(before: Record, after: Record) -> None:
    changed = changed_attributes(before, after)
    stored = {**item(before), **changed}
    assert item(after) == {name: value for name, value in stored.items() if value is not None}
    assert not [name for name, value in changed.items() if item(before).get(name) == value]


@given(RECORDS)
def test_nothing_is_stored_of_what_is_empty(record: Record) -> None:
    """Except for a change that is known not to be the service's own."""
    empty = {name for name, value in item(record).items() if not value and value != 0}
    assert not empty - {"confirmed"}
    assert record.confirmed is False or "confirmed" not in empty


def test_the_keys_of_the_indexes_come_and_go_with_what_they_are_made_of() -> None:
    watched = Record(arn=ARN, revisit_at=NOON, enforced_at=NOON, watch=OPEN)
    keys = {"revisit_shard", "enforced_in", "enforced_key"}
    assert keys <= item(watched).keys()
    gone = changed_attributes(watched, Record(arn=ARN))
    assert {gone[name] for name in keys} == {None}
    assert changed_attributes(watched, Record(arn=ARN, revisit_at=NOON, enforced_at=NOON, watch=OVER)).keys() == {
        "watch",
        "enforced_key",
    }
