"""Which refused calls count after an enforcement, and how they are said."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.window import FINE, first_fine
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.texts.words import calls, minute

if TYPE_CHECKING:
    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import Instance
    from imdsv2.ledger.record import Record


def counted_from(record: Record) -> datetime:
    """From when on refused calls say something about an enforcement: from the moment before EC2 was asked to require tokens
    (a datapoint may begin before the call that it counts), or from when a person settled what came before."""
    begun = record.enforcing_at or record.enforced_at
    assert begun is not None  # noqa: S101 - only called for what was enforced
    if record.enforced_at is not None and begun > record.enforced_at:
        begun = record.enforced_at
    first = first_fine(begun)
    if record.cleared_at is not None:
        # Nearer: what was refused just before a person said that it is settled would be told again.
        first = max(first, math.floor(record.cleared_at.timestamp() / FINE) * FINE)
    if record.mended_at is not None:
        first = max(first, first_fine(record.mended_at))
    return datetime.fromtimestamp(first, UTC)


def starts_of(record: Record, instance: Instance | None) -> list[datetime]:
    """When boot software ran and had yet to prove itself, as far as it is known.

    Once a start since the enforcement was watched and proved clean, boot software needs no IMDSv1, and one refused call after a
    later start is a probe like any other: an instance that starts every morning would else be open to one for an hour a day.
    """
    launched_at = instance.launched_at if instance and not _has_started_clean(record) else None
    known = (launched_at, record.restarted_at, record.mended_at)
    return [each for each in known if each is not None]


def _has_started_clean(record: Record) -> bool:
    return record.status == Status.VERIFIED and record.restarted_at is not None and not record.is_watched


def rejected(signs: Signs, since: datetime, pattern: str | None) -> str:
    """How many calls were rejected, since when, and in what pattern: the beginning of a sentence."""
    how = f", {pattern}" if pattern else ""
    last = f", the last at {minute(signs.last_rejected_call)}" if signs.last_rejected_call else ""
    return f"{rejected_calls(signs)} since {minute(since)}{how}{last}"


def rejected_calls(signs: Signs) -> str:
    return f"{calls(signs.rejected_calls)} {'was' if signs.rejected_calls == 1 else 'were'} rejected"
