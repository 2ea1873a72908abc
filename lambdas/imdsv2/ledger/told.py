"""What was told of a record's verdict, and whether that is all that was owed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.lifecycle import UNDER_WAY
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import SOON
from imdsv2.ledger.record_values import OVER

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.ledger.record import Record

_NOTES_ARE_TRIED_FOR = timedelta(days=1)


def due_to_tell(before: Record, after: Record, now: datetime, *, owes: bool) -> Record:
    """A record about to be written, due again within 15 minutes if something is still to be told: whoever writes it may die before
    telling. Once it is told, it is due when the verdict wants it."""
    unchanged = before.revisits_to_tell and after.revisit_at == before.revisit_at
    planned = before.planned_revisit_at if unchanged else after.revisit_at
    soon = now + SOON
    if not owes or after.status in UNDER_WAY or (planned is not None and planned <= soon):
        return replace(after, revisit_at=planned, revisits_to_tell=False, planned_revisit_at=None)
    return replace(after, revisit_at=soon, revisits_to_tell=True, planned_revisit_at=planned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was notified of a record's verdict: findings, by their key in the map, and people.

    ``paid``: what the record owed besides, and owes no longer. ``changed``: the record with what else changes. ``still_owes``:
    whether something could not be told.
    """

    record: Record
    annotated: frozenset[str] = frozenset()
    notified: bool = False
    paid: frozenset[str] = frozenset()
    changed: Record | None = None
    still_owes: bool = False

    def after(self, now: datetime) -> Record:
        """The record with what has been done, but for the times of notes and messages."""
        after = replace(self.changed or self.record, owes=self.record.owes - self.paid)
        after = due_to_tell(self.record, after, now, owes=self.still_owes)
        return replace(after, watch=OVER) if self._ends_watch(now) else after

    def _ends_watch(self, now: datetime) -> bool:
        """Whether the watch was open only for what was owed, and all of it is done. People have to be told whatever happens; a note
        that Security Hub has not taken for a day is left to the record's next verdict."""
        record = self.record
        is_told = self.notified or not record.owes_notification()
        if not record.is_let_go or record.owes - self.paid or not is_told:
            return False
        is_old = record.changed_at is not None and now - record.changed_at > _NOTES_ARE_TRIED_FOR
        return is_old or record.stands or not record.owed_notes().keys() - self.annotated
