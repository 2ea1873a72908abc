"""What people are told at once, whatever the policy says of the digest: what cannot wait for the next night."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.verdict import Reason
from imdsv2.ledger.record_values import OPENED, UNPROVEN
from imdsv2.line.messages import BROKE_KIND, LEFT_BROKEN_KIND, LOOK_KIND, NOTICE_KIND, kind_of

if TYPE_CHECKING:
    from imdsv2.ledger.record import Record

_CAN_WAIT = frozenset({UNPROVEN, OPENED})
"""Values of `left_because` with which no call was refused."""


def is_urgent(record: Record) -> bool:
    """Whether the news of a record is told at once: software that broke or may have broken, an owner's notice (whose hours begin with
    the message), and what cannot be reached."""
    kind = kind_of(record)
    if kind == LOOK_KIND:
        return record.left_because not in _CAN_WAIT
    return kind in {BROKE_KIND, LEFT_BROKEN_KIND, NOTICE_KIND} or record.reason == Reason.UNREACHABLE
