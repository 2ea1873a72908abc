"""What a change of a record tells: the events that follow from the difference, whoever writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.verdict import Reason
from imdsv2.ledger.change import VERDICT
from imdsv2.ledger.serialisation import stored
from imdsv2.ledger.trail import Event, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from imdsv2.ledger.change import Change
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.trail import Author

_UNSEEN = frozenset({Reason.UNREACHABLE, Reason.NOT_READY, Reason.OUT_OF_SCOPE, Reason.GONE})
"""Reasons with which nobody has looked whether an exemption or a hold is still there."""
_ENDED = "ended"


def events_of(change: Change, after: Record, now: datetime) -> list[Event]:
    """The events of a change, in the order in which they are to be read. ``after``: the record as it is written."""
    before = change.before
    return [
        *_words(before, after, change.by),
        *_ends(before, after, now),
        *_verdict(change, after),
        *_news(before, after),
    ]


def notice_delivered(before: Record, after: Record) -> list[Event]:
    """That an owner has been told of a change to come; nothing if that is not new."""
    if after.notice_ends_at is None or after.notice_ends_at == before.notice_ends_at:
        return []
    details = {"owner": after.told_owner, "until": stored(after.notice_ends_at), **_state(after)}
    return [Event(kind=Kind.NOTICE_DELIVERED, details=details)]


def _verdict(change: Change, after: Record) -> Iterator[Event]:
    """A new status or, where the status stays, another decision or reason."""
    before = change.before
    was = {"status_before": before.status, "reason_before": before.reason}
    if after.status is not None and after.status != before.status:
        said = {name: stored(getattr(after, name)) for name in change.says}
        # Who merely looks is told apart from who did what the record tells of.
        yield Event(kind=Kind.STATUS_CHANGED, details={**said, **_by(change.by), **was})
    elif (after.decision, after.reason) != (before.decision, before.reason) and before.version:
        said = {name: stored(getattr(after, name)) for name in VERDICT}
        yield Event(kind=Kind.REASON_CHANGED, details={**said, **_by(change.by), **was})


def _words(before: Record, after: Record, by: Author | None) -> Iterator[Event]:
    """What a person has said of an instance. What one word replaces is told with it."""
    if after.approval is not None and after.approval != before.approval:
        kind = Kind.REFUSED if after.approval.is_refusal else Kind.APPROVED
        until = stored(after.approval.expires_at)
        yield _word(kind, after, by, until=until, replaces=stored(before.approval))
    if after.hold is not None and after.hold != before.hold:
        hold = after.hold
        said = {"owner": hold.owner, "because": hold.reason, "until": stored(hold.until)}
        yield _word(Kind.HOLD_SET, after, by, **said, replaces=stored(before.hold))
    if after.hold is None and before.hold is not None:
        yield _word(Kind.HOLD_RELEASED, after, by, replaces=stored(before.hold))
    if after.acceptance is not None and after.acceptance != before.acceptance:
        accepted = after.acceptance
        said = {"owner": accepted.owner, "because": accepted.reason, "until": stored(accepted.until)}
        yield _word(Kind.ACCEPTED, after, by, **said, replaces=stored(before.acceptance))
    if after.cleared_at is not None and after.cleared_at != before.cleared_at:
        yield _word(Kind.CLEARED, after, by, explanation=after.explanation)
    if after.mended_at is not None and (after.mended_at, after.mended_by) != (before.mended_at, before.mended_by):
        yield _word(Kind.MENDED, after, by, mended_at=stored(after.mended_at), mended_before=stored(before.mended_at))
    if after.undo is not None and after.undo != before.undo:
        yield _word(Kind.UNDO_REQUESTED, after, by, explanation=after.undo.why)


def _ends(before: Record, after: Record, now: datetime) -> Iterator[Event]:
    """Exemptions that are seen or have ended, and holds that have ended by themselves."""
    if _is_exempt(after) and (not _is_exempt(before) or after.ends_on != before.ends_on):
        yield Event(kind=Kind.EXEMPTION_SEEN, details={"until": stored(after.ends_on), **_state(after)})
    if _is_exempt(before) and not _is_exempt(after):
        yield Event(kind=Kind.EXEMPTION_ENDED, details={"until": stored(before.ends_on), **_state(after)})
    has_ended = before.hold is not None and before.hold == after.hold and not before.hold.in_force(now)
    if has_ended and before.reason == Reason.HELD_BY_PERSON != after.reason:
        yield Event(kind=Kind.HOLD_ENDED, details={"replaces": stored(before.hold), **_state(after)})


def _news(before: Record, after: Record) -> Iterator[Event]:
    """What the guard found, and what it left to people."""
    if after.is_broken and not before.is_broken:
        said = {"broken_at": stored(after.broken_at), "explanation": after.explanation}
        yield Event(kind=Kind.BROKE, details={**said, **_state(after)})
    if after.left_because is not None and after.left_because != before.left_because:
        said = {"left_because": after.left_because, "explanation": after.explanation}
        yield Event(kind=Kind.LEFT, details={**said, **_state(after)})
    yield from notice_delivered(before, after)


def _is_exempt(record: Record) -> bool:
    """Whether an exemption was in force when somebody last looked."""
    if record.reason == Reason.EXEMPT:
        return True
    by_hold = record.hold is not None and record.hold.until == record.ends_on
    return record.reason in _UNSEEN and record.ends_on is not None and record.reminder != _ENDED and not by_hold


def _word(kind: Kind, after: Record, by: Author | None, **details: Any) -> Event:
    return Event(kind=kind, details={**_state(after), **_by(by), **details})


def _by(by: Author | None) -> dict[str, Any]:
    return by.said() if by is not None else {}


def _state(record: Record) -> dict[str, Any]:
    """The verdict in force when it happened."""
    return {"status": record.status, "decision": record.decision, "reason": record.reason, "cohort": record.cohort}
