"""What people say about the past of instances: that what is held against them is settled (`clear`), that they are to be
changed in spite of it (`accept`), or that their software was updated (`mended`). The line judges them when their turn comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2.domain.documents import to_seconds
from imdsv2.domain.evidence_rows import ACCEPTABLE
from imdsv2.domain.history import Acceptance
from imdsv2.domain.lifecycle import OURS
from imdsv2.domain.policy import LONGEST_MEMORY_DAYS
from imdsv2.domain.verdict import Reason
from imdsv2.domain.words import minute
from imdsv2.errors import InvalidRequest
from imdsv2.people.mark import mark

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.request import Command
    from imdsv2.people.scope import Scopes

ACCEPTED_FOR_DAYS = 400
"""The longest time for which anybody may accept what the evidence says."""

_LEFT_BROKEN = "left_broken"
_PROBE = "probe_or_breakage"
_REFUSED_CALLS = "refused_calls"
_GOES_BACK = "It is about to be put back; ask again once that is done."
_NOTHING = "There is nothing to clear: it has neither broken nor been undone or opened since it was last cleared."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """Writes what people say to the records that it is about. ``now``: the clock."""

    ledger: Ledger
    scopes: Scopes
    now: Callable[[], datetime]

    def clear(self, command: Command, request_id: str) -> list[dict[str, Any]]:
        """Void what is held against instances; each is judged anew at its turn."""
        now, broad = self.now(), not command.scope.targets
        records = self.scopes.all(command)
        if broad:
            records = [each for each in records if voided(each)]
        problems = {each.arn: _NOTHING for each in records if not _voided_by_name(each)}
        problems |= {each.arn: _GOES_BACK for each in records if each.is_to_go_back}
        return mark(
            self.ledger,
            records,
            lambda record: _cleared(record, command.signed(request_id), now),
            problems | self.scopes.strangers.among(records),
            now,
            dry_run=command.dry_run,
            tells=lambda record: {
                "voids": _voided_by_name(record),
                "outcome": _outcome(record, now) if record.arn not in problems and record.version else None,
            },
        )

    def accept(self, command: Command, request_id: str) -> list[dict[str, Any]]:
        """Let instances be changed in spite of what their evidence says."""
        now = self.now()
        assert command.until is not None  # noqa: S101 - an acceptance has its last day
        latest = now.astimezone(UTC).date() + timedelta(days=ACCEPTED_FOR_DAYS)
        if command.until > latest:
            raise InvalidRequest("until", f"takes a day within {ACCEPTED_FOR_DAYS} days, {latest} at the latest")
        acceptance = Acceptance(
            owner=str(command.owner),
            reason=str(command.reason),
            until=command.until,
            by=command.caller,
            request_id=request_id,
            at=now,
        )
        records = self.scopes.named(command.scope)
        problems = {each.arn: problem for each in records if (problem := _unacceptable(each)) is not None}
        return mark(
            self.ledger,
            records,
            partial(replace, acceptance=acceptance, revisit_at=now),
            problems | self.scopes.strangers.among(records),
            now,
            dry_run=command.dry_run,
        )

    def mended(self, command: Command, request_id: str) -> list[dict[str, Any]]:
        """Note when the software of instances was updated and run anew: their evidence begins there."""
        now = self.now()
        at = command.at or now
        if at > now:
            raise InvalidRequest("at", f"takes a time that is past, not {to_seconds(at)}; it is {to_seconds(now)}")
        if at < now - timedelta(days=LONGEST_MEMORY_DAYS):
            raise InvalidRequest("at", f"takes a time of the last {LONGEST_MEMORY_DAYS} days, not {to_seconds(at)}")
        records = self.scopes.all(command)
        return mark(
            self.ledger,
            records,
            partial(replace, mended_at=at, mended_by=command.signed(request_id), revisit_at=now),
            self.scopes.strangers.among(records),
            now,
            dry_run=command.dry_run,
            tells=lambda record: {"mended_at": to_seconds(at), "mended_before": to_seconds(record.mended_at)},
        )


def voided(record: Record) -> list[str]:
    """What a clearance of an instance would void, by the reasons' names."""
    history, broke = record.history, record.history.broke
    opened = history.stands or history.was_opened
    held = {
        Reason.BROKE_BEFORE: broke or (record.is_broken and not record.stands),
        Reason.UNDONE_BY_PERSON: history.was_undone,
        Reason.CHANGED_BACK: opened and record.status not in OURS and record.reason != Reason.ALREADY_REQUIRED,
        Reason.V1_REFUSED: record.reason == Reason.V1_REFUSED,
        _LEFT_BROKEN: record.is_broken and record.stands,
        _PROBE: record.probe_at is not None and (record.cleared_at is None or record.cleared_at < record.probe_at),
    }
    return [str(name) for name, is_so in held.items() if is_so]


def _voided_by_name(record: Record) -> list[str]:
    """What a clearance voids of an instance that is named: of what is enforced, the refused calls up to now in any case."""
    return voided(record) or ([_REFUSED_CALLS] if record.stands else [])


def _cleared(record: Record, signature: str, now: datetime) -> Record:
    if record.is_broken and record.stands:
        record = replace(record, left_because=None, left_at=None)  # Why it was left broken is settled with it.
    if record.stands:
        why = (
            f"Tokens are required, and stay so. Calls that were refused until {minute(now)} were no breakage, as cleared by "
            f"{signature}. Calls that are refused from then on count."
        )
    else:
        why = (
            f"Cleared by {signature}; next judged at its turn, from {minute(now)} on. No longer held against it: "
            f"{', '.join(voided(record))}."
        )
    return replace(record, cleared_at=now, cleared_by=signature, revisit_at=now, explanation=why)


def _outcome(record: Record, now: datetime) -> str:
    if record.stands:
        return "cleared; it stays enforced, and refused calls count from now on"
    return f"cleared, next judged at its turn, from {minute(now)} on"


def _unacceptable(record: Record) -> str | None:
    """Why nobody can accept what an instance's evidence says, or None. Whoever did so may do so anew."""
    if record.reason in ACCEPTABLE and record.status not in OURS:
        return None
    rows = ", ".join(sorted(ACCEPTABLE))
    if record.reason is None:
        return f"It has not been judged yet; what can be accepted is {rows}."
    return f"It has the verdict {record.decision} ({record.reason}), which nobody can accept; what can be accepted is {rows}."
