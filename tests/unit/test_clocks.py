"""Clocks that differ by seconds: a record's times keep the order of its writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Finding
from imdsv2.ledger.clocks import in_order
from imdsv2.ledger.record import Record
from tests.unit.builders import NOW, arn

AHEAD = NOW + timedelta(seconds=7)
BEHIND = NOW - timedelta(seconds=4)


def record(**attributes: Any) -> Record:
    """A record with some times."""
    return Record(arn=arn(), version=3, status=Status.ROLLED_BACK, **attributes)


@pytest.mark.parametrize("name", ["broken_at", "rolled_back_at", "undone_at", "changed_at"])
def test_a_person_clears_what_the_record_knew_whatever_their_functions_clock_says(name: str) -> None:
    """The guard's clock was ahead."""
    known = record(**{name: AHEAD})
    cleared = in_order(known, replace(known, cleared_at=NOW)).cleared_at
    assert cleared is not None
    assert cleared > AHEAD


def test_what_breaks_after_a_clearance_is_not_settled_by_it() -> None:
    """The clock of the function that took the clearance was ahead of the guard's."""
    known = record(cleared_at=AHEAD, enforced_at=BEHIND)
    after = in_order(known, replace(known, broken_at=BEHIND, rolled_back_at=NOW, changed_at=NOW))
    assert after.is_broken
    assert after.history.uncleared_rollback_at is not None


def test_news_that_come_after_a_message_are_owed() -> None:
    """Whoever sent the message had a clock that was ahead; for people and for findings."""
    noted = Finding(id="1", product_arn="p", region="eu-west-1", updated_at=BEHIND, annotated_at=AHEAD)
    known = record(notified_at=AHEAD, changed_at=BEHIND, findings={"1": noted})
    after = in_order(known, replace(known, changed_at=NOW))
    assert after.owes_notification()
    assert {"1"} == set(after.owed_notes())


def test_what_was_told_already_stays_told() -> None:
    """A verdict that is told together with another's: both of its times move."""
    known = record(notified_at=AHEAD)
    after = in_order(known, replace(known, changed_at=NOW, notified_at=NOW))
    assert not after.owes_notification()
    assert after.changed_at is not None
    assert after.changed_at > AHEAD


def test_the_order_within_one_write_is_kept() -> None:
    """It was seen to require tokens after the clearance: that keeps row 10."""
    known = record(changed_at=AHEAD)
    after = in_order(known, replace(known, cleared_at=BEHIND, required_seen_at=NOW))
    assert after.history.uncleared_required_seen_at is not None


@pytest.mark.parametrize("when", [NOW, NOW + timedelta(hours=5)])
def test_a_clock_that_is_right_changes_nothing(when: Any) -> None:
    """Nor do two that agree to the microsecond."""
    known = record(changed_at=NOW, notified_at=NOW, enforced_at=BEHIND)
    after = replace(known, changed_at=when, broken_at=when)
    assert after is in_order(known, after)


def test_a_time_that_a_person_names_is_left_alone() -> None:
    """When software was updated lies in the past."""
    known = record(changed_at=AHEAD)
    after = replace(known, mended_at=NOW - timedelta(days=2), enforced_at=BEHIND)
    assert after is in_order(known, after)
