"""Notices to owners and reminders to people: from when to when they hold, in the ledger record."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.lifecycle import Status
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import Reason

if TYPE_CHECKING:
    from imdsv2.ledger.record import Record
    from imdsv2.line.judgement import Judgement

_LARGEST_JITTER = timedelta(minutes=10)
_CUT = "cut"
_REMIND_BEFORE = timedelta(days=3)
_VOIDS_NOTICE = frozenset(
    {
        Reason.V1_IN_USE,
        Reason.V1_REFUSED,
        Reason.COHORT_USES_V1,
        Reason.V1_RECURS,
        Reason.V1_AT_BOOT,
        Reason.HOP_LIMIT_FALLBACK,
        Reason.EXEMPT,
        Reason.HELD_BY_PERSON,
        Reason.BROKE_BEFORE,
        Reason.UNDONE_BY_PERSON,
        Reason.CHANGED_BACK,
    }
)


def notice_delivered(record: Record, explanation: str, hours: int, now: datetime) -> Record:
    """The record of an instance whose owner has been told now: the notice begins, and its findings' notes are due again."""
    ends_at = now + timedelta(hours=hours)
    return replace(
        record,
        explanation=explanation,
        notice_ends_at=ends_at,
        revisit_at=jittered(ends_at, now),
        notified_at=now,
        changed_at=now,
    )


def with_notice(record: Record, judgement: Judgement) -> Record:
    """A notice lasts from its delivery until the change, or until the instance itself gives a reason against it."""
    if judgement.notice is not None:
        return replace(record, notice_ends_at=judgement.notice.ends_at, told_owner=judgement.notice.owner)
    if judgement.verdict.reason in _VOIDS_NOTICE:
        return replace(record, notice_ends_at=None)
    return record


def with_reminder(record: Record, judgement: Judgement, now: datetime) -> Record:
    """People are reminded before and after an exemption or hold ends, even if the verdict stays the same. A reminder
    that could not be sent remains due."""
    known = judgement.record
    if judgement.verdict.ends_on is not None:
        cut = judgement.verdict.cut_exemption
        if cut is not None and cut != known.long_exemption:
            return replace(record, ends_on=judgement.verdict.ends_on, reminder=_CUT, changed_at=now)
        return _with_end(record, known, judgement.verdict.ends_on, now)
    if judgement.instance is None:
        return replace(record, reminder=None)  # It is unknown whether it has been extended.
    ended_on, told = known.ends_on, known.reminder == "ended" and not known.owes_notification()
    is_over = ended_on is not None and ended_on < now.astimezone(UTC).date()
    if not is_over or told or judgement.status is Status.SKIPPED:
        return replace(record, ends_on=None, reminder=None)
    record = replace(
        record, explanation=f"What kept it from being changed ended on {ended_on}. {judgement.verdict.explanation}"
    )
    if judgement.status is Status.ENFORCED or judgement.verdict.reason is Reason.NOTICE_GIVEN:
        return replace(record, ends_on=None, reminder=None)  # This notification also mentions the end.
    changed_at = record.changed_at if known.reminder == "ended" else now
    return replace(record, reminder="ended", changed_at=changed_at)


def _with_end(record: Record, known: Record, ends_on: date, now: datetime) -> Record:
    if known.reminded_of == ends_on:
        return replace(record, ends_on=ends_on, reminder=known.reminder if known.owes_notification() else None)
    if now + _REMIND_BEFORE < datetime.combine(ends_on, time(), UTC):
        is_untold = known.reminder == _CUT and known.owes_notification()
        return replace(record, ends_on=ends_on, reminder=_CUT if is_untold else None)
    return replace(record, ends_on=ends_on, reminder="ends", reminded_of=ends_on, changed_at=now)


def jittered(when: datetime | None, now: datetime) -> datetime | None:
    """Add jitter of up to a tenth of the wait, at most 10 minutes."""
    if when is None:
        return None
    spread = min(_LARGEST_JITTER, max(when - now, timedelta()) / 10)
    return when + spread * random.random()  # noqa: S311 - jitter, not a secret
