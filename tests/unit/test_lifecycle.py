"""The life cycle of an instance in the ledger: the transitions that are valid, and the refusal of all others."""

from __future__ import annotations

from itertools import product

import pytest

from imdsv2.domain.lifecycle import MOVES, OURS, UNDER_WAY, Status, check
from imdsv2.errors import IllegalMove

STATUSES: list[Status | None] = [None, *Status]


def reachable_from(start: Status | None, *, without: frozenset[Status] = frozenset()) -> set[Status]:
    """Every status that can be reached without passing through the given ones."""
    found: set[Status] = set()
    ahead = [start]
    while ahead:
        for status in MOVES[ahead.pop()] - found - without:
            found.add(status)
            ahead.append(status)
    return found


def test_every_status_has_its_moves() -> None:
    """A status that is missing here would be a dead end."""
    assert set(STATUSES) == set(MOVES)


def test_every_status_can_be_reached_and_left() -> None:
    """Every status is used, and none is a trap: abandoned work is always re-evaluated."""
    assert set(Status) == reachable_from(None)
    assert all(MOVES[status] - {status} for status in Status)


@pytest.mark.parametrize(("before", "after"), list(product(STATUSES, Status)))
def test_the_check_refuses_exactly_the_other_moves(before: Status | None, after: Status) -> None:
    """Statuses in the table are plain text; staying in a status is no transition."""
    text = str(before) if before else None
    if before == after or after in MOVES[before]:
        check(text, str(after))
        return
    with pytest.raises(IllegalMove) as refused:
        check(text, str(after))
    assert str(after) in str(refused.value)


def test_nothing_is_enforced_that_was_not_written_ahead() -> None:
    """The only way to `enforced` leads through `enforcing`, or back from a rollback that EC2 refused."""
    assert {Status.ENFORCING, Status.ROLLING_BACK} == {status for status in Status if Status.ENFORCED in MOVES[status]}
    assert Status.ENFORCED not in reachable_from(None, without=frozenset({Status.ENFORCING}))


def test_nothing_is_rolled_back_that_was_not_enforced() -> None:
    """Only `rolling_back` leads to `rolled_back`, and only an enforcement to `rolling_back`."""
    assert {Status.ROLLING_BACK} == {status for status in STATUSES if Status.ROLLED_BACK in MOVES[status]}
    assert {Status.ENFORCED, Status.VERIFIED} == {status for status in STATUSES if Status.ROLLING_BACK in MOVES[status]}
    assert Status.ROLLING_BACK not in reachable_from(None, without=frozenset({Status.ENFORCED, Status.VERIFIED}))


def test_nothing_is_verified_that_was_not_enforced() -> None:
    """Only the watch of an enforcement can verify an instance."""
    assert {Status.ENFORCED, Status.ROLLING_BACK} == {status for status in Status if Status.VERIFIED in MOVES[status]}


def test_a_rollback_under_way_is_nobody_elses_to_judge() -> None:
    """A verdict during a rollback could enforce the instance that is being rolled back."""
    assert frozenset({Status.ROLLED_BACK, Status.ENFORCED, Status.VERIFIED}) == MOVES[Status.ROLLING_BACK]


def test_what_is_under_way_is_ours() -> None:
    """The statuses in progress are among the service's own: a lease is only ever taken for the service's own changes."""
    assert UNDER_WAY < OURS
    assert set(Status) - OURS == {Status.WOULD_ENFORCE, Status.HELD, Status.SKIPPED, Status.FAILED}
