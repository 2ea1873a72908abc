"""The life of an instance in the ledger: which status may follow which. The ledger refuses every other move."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from imdsv2.errors import IllegalMove

if TYPE_CHECKING:
    from collections.abc import Mapping


class Status(StrEnum):
    """Where an instance stands in the ledger."""

    WOULD_ENFORCE = "would_enforce"
    ENFORCING = "enforcing"
    ENFORCED = "enforced"
    VERIFIED = "verified"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    HELD = "held"
    SKIPPED = "skipped"
    FAILED = "failed"


_JUDGED = frozenset({Status.WOULD_ENFORCE, Status.ENFORCING, Status.HELD, Status.SKIPPED})
"""What a judgement may lead to from wherever nothing of ours is under way."""

MOVES: Mapping[Status | None, frozenset[Status]] = {
    None: _JUDGED,
    Status.WOULD_ENFORCE: _JUDGED,
    Status.HELD: _JUDGED,
    Status.SKIPPED: _JUDGED,
    Status.FAILED: _JUDGED,
    Status.ENFORCING: _JUDGED | {Status.ENFORCED, Status.FAILED},
    Status.ENFORCED: _JUDGED | {Status.VERIFIED, Status.ROLLING_BACK},
    Status.VERIFIED: _JUDGED | {Status.ROLLING_BACK},
    # What EC2 refuses to put back stays what it was.
    Status.ROLLING_BACK: frozenset({Status.ROLLED_BACK, Status.ENFORCED, Status.VERIFIED}),
    Status.ROLLED_BACK: _JUDGED,
}
"""From each status (None: the ledger does not know the instance) to those that may follow; staying is always allowed."""

UNDER_WAY = frozenset({Status.ENFORCING, Status.ROLLING_BACK})
"""Somebody is between the ledger and EC2, under a lease."""

OURS = frozenset({Status.ENFORCING, Status.ENFORCED, Status.VERIFIED, Status.ROLLING_BACK, Status.ROLLED_BACK})
"""What a look that finds tokens required never replaces: it says what we did."""


def check(before: str | None, after: str) -> None:
    """Raises IllegalMove where one status may not follow another."""
    if before != after and Status(after) not in MOVES[Status(before) if before else None]:
        raise IllegalMove(before, after)
