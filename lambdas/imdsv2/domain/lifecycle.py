"""The status machine of an instance in the ledger. The ledger rejects every other transition."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from imdsv2.errors import IllegalMove

if TYPE_CHECKING:
    from collections.abc import Mapping


class Status(StrEnum):
    """The status of an instance in the ledger."""

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
"""The statuses that a new verdict may set if no change or rollback is in progress."""

MOVES: Mapping[Status | None, frozenset[Status]] = {
    None: _JUDGED,
    Status.WOULD_ENFORCE: _JUDGED,
    Status.HELD: _JUDGED,
    Status.SKIPPED: _JUDGED,
    Status.FAILED: _JUDGED,
    Status.ENFORCING: _JUDGED | {Status.ENFORCED, Status.FAILED},
    Status.ENFORCED: _JUDGED | {Status.VERIFIED, Status.ROLLING_BACK},
    Status.VERIFIED: _JUDGED | {Status.ROLLING_BACK},
    # If EC2 rejects the rollback, the instance returns to its earlier status.
    Status.ROLLING_BACK: frozenset({Status.ROLLED_BACK, Status.ENFORCED, Status.VERIFIED}),
    Status.ROLLED_BACK: _JUDGED,
}
"""Allowed transitions from each status (None: not in the ledger yet). Keeping a status is always allowed."""

UNDER_WAY = frozenset({Status.ENFORCING, Status.ROLLING_BACK})
"""Statuses in which an invocation is between the ledger write and the call to EC2, and holds a lease."""

NEWS = frozenset({Status.ENFORCED, Status.ROLLED_BACK, Status.FAILED, Status.WOULD_ENFORCE, Status.HELD})
"""Statuses that people are notified of; `skipped` and `verified` need no action."""

OURS = frozenset({Status.ENFORCING, Status.ENFORCED, Status.VERIFIED, Status.ROLLING_BACK, Status.ROLLED_BACK})
"""Statuses that record the service's own action. A verdict that only finds tokens required does not replace them."""


def check(before: str | None, after: str) -> None:
    """Raises IllegalMove if ``after`` may not follow ``before``."""
    if before != after and Status(after) not in MOVES[Status(before) if before else None]:
        raise IllegalMove(before, after)
