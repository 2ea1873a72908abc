"""People's commands: approvals, holds, the circuit breaker, undo, and words about the past. Each is written to the ledger with the claimed
name of the caller and the request id, which identifies the real caller in CloudTrail. A dry run writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2.domain.documents import to_seconds
from imdsv2.domain.history import Answer, Hold
from imdsv2.domain.lifecycle import OURS
from imdsv2.domain.verdict import Reason
from imdsv2.errors import InvalidRequest
from imdsv2.ledger.items import to_text
from imdsv2.people import effects
from imdsv2.people.command_request import (
    AcceptCommand,
    AccountedFor,
    ApproveCommand,
    ClearCommand,
    CloseBreakerCommand,
    HoldCommand,
    MendedCommand,
    RefuseCommand,
    ReleaseCommand,
    UndoCommand,
)
from imdsv2.people.mark import Word, author, make_due, mark
from imdsv2.people.scope import awaits_answer
from imdsv2.people.settle import Settling

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.pool import Pools
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.command_request import Command
    from imdsv2.people.scope import Scopes
    from imdsv2.people.sources.undo import SourceUndoing
    from imdsv2.people.undo import Undoing

RESULTS_SHOWN = 5_000
"""Lambda's response is limited to 6 MB. A larger command is still carried out in full; the ledger has the results."""

_APPROVED_FOR = timedelta(days=7)
_ALLOWED = frozenset(
    {
        Reason.UNUSED,
        Reason.COHORT_UNUSED,
        Reason.SWITCHED_OFF,
        Reason.POLICY_UNREADABLE,
        Reason.SUPPRESSED,
        Reason.BREAKER_OPEN,
        Reason.APPROVAL_REQUIRED,
        Reason.NOTICE_GIVEN,
        Reason.CANARY_WAIT,
        Reason.CALENDAR_CLOSED,
        Reason.CAP_REACHED,
    }
)
"""Reasons that may be approved: the evidence permits the change, but a gate may hold it."""


def _refuse_times(command: Command, now: datetime) -> None:
    """Raises InvalidRequest for a last day that is past, and for a beginning that is still to come."""
    until = command.until if isinstance(command, ApproveCommand | AccountedFor) else None
    if until is not None and until < now.astimezone(UTC).date():
        raise InvalidRequest("until", f"takes today or a day that is still to come, not {until}")
    since = command.scope.since
    if since is not None and since > now:
        why = f"takes a time that is past, not {since:%Y-%m-%dT%H:%M:%SZ}: nothing has been changed since then"
        raise InvalidRequest(f"{command.kind}.since", why)


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Carries out commands. ``now``: the clock."""

    ledger: Ledger
    accounts: Accounts
    scopes: Scopes
    undoing: Undoing
    source_undoing: SourceUndoing
    pools: Pools
    now: Callable[[], datetime]

    def carry_out(self, command: Command, request_id: str, has_time: Callable[[], bool]) -> dict[str, Any]:
        """Carry out a command and return the answer. Raises InvalidRequest, or ClientError if the ledger fails."""
        asked_at = self.now()
        _refuse_times(command, asked_at)
        results = self._results(command, request_id, has_time)
        # What a person has seen is cleared with this as its time, and no more.
        as_of = {"as_of": to_text(asked_at)} if isinstance(command, ClearCommand) else {}
        return {
            "command": command.kind,
            "dry_run": command.dry_run,
            **as_of,
            "count": len(results),
            "results": results[:RESULTS_SHOWN],
        }

    def _results(self, command: Command, request_id: str, has_time: Callable[[], bool]) -> list[dict[str, Any]]:
        match command:
            case UndoCommand():
                return self._undo(command, request_id, has_time)
            case ApproveCommand():
                return self._approve(command, request_id)
            case RefuseCommand():
                return self._refuse(command, request_id)
            case HoldCommand():
                return self._hold(command, request_id)
            case ReleaseCommand():
                return self._release(command, request_id)
            case CloseBreakerCommand():
                return [self._close_breaker(command, request_id)]
            case ClearCommand():
                return self._settling.clear(command, request_id)
            case AcceptCommand():
                return self._settling.accept(command, request_id)
            case MendedCommand():
                return self._settling.mended(command, request_id)

    @property
    def _settling(self) -> Settling:
        return Settling(ledger=self.ledger, scopes=self.scopes, pools=self.pools, look=self.undoing.look, now=self.now)

    def _undo(self, command: UndoCommand, request_id: str, has_time: Callable[[], bool]) -> list[dict[str, Any]]:
        """Put back the instances of a scope, and the sources."""
        sources = self.source_undoing.undo(command, request_id, has_time)
        if command.scope.source is not None:
            return sources
        try:
            return [*sources, *self.undoing.undo(command, request_id, has_time)]
        except InvalidRequest:
            if sources:  # The scope has no instances of ours, but it exists.
                return sources
            raise

    def _close_breaker(self, command: CloseBreakerCommand, request_id: str) -> dict[str, Any]:
        number = command.scope.account
        assert number is not None  # noqa: S101 - an order to close a breaker names its account
        there = self.scopes.account(number)
        known = self.accounts.of(there)
        if not known.version:
            self.scopes.strangers.refuse(command, known.key)
        opened_at, done = known.breaker_opened_at, False
        problem = None if opened_at else "Its breaker is not open."
        if opened_at is not None and not command.dry_run:
            signed, by = command.signed(request_id), author(command, request_id)
            done = self.accounts.close_breaker(known.key, signed, by, self.now()).breaker_closed_by == signed
            problem = None if done else "Somebody else was quicker, and has closed it."
            make_due(self.ledger, [known.key], _waits_for_breaker, self.now())
        return {"account": number, "opened_at": to_seconds(opened_at), "done": done, "problem": problem}

    def _approve(self, command: ApproveCommand, request_id: str) -> list[dict[str, Any]]:
        now = self.now()
        expires_at = datetime.combine(command.until, time.max, UTC) if command.until else now + _APPROVED_FOR
        return self._answer(command, "approved", request_id, now, expires_at)

    def _refuse(self, command: RefuseCommand, request_id: str) -> list[dict[str, Any]]:
        return self._answer(command, "refused", request_id, self.now(), None)

    def _answer(
        self,
        command: ApproveCommand | RefuseCommand,
        said: str,
        request_id: str,
        now: datetime,
        expires_at: datetime | None,
    ) -> list[dict[str, Any]]:
        """Approve or refuse the named instances, or all that wait for approval in an account or cohort."""
        answer = Answer(
            word=said,
            by=command.caller,
            request_id=request_id,
            at=now,
            expires_at=expires_at,
            reason=command.reason,
        )
        records = self.scopes.waiting(command)
        problems = {each.arn: problem for each in records if (problem := _unanswerable(each, command)) is not None}
        problems |= self.scopes.strangers.among(records)
        word = Word(
            into=partial(replace, approval=answer, revisit_at=now),
            by=author(command, request_id),
            tells=effects.of_answer(answer, now),
        )
        return mark(self.ledger, records, word, problems, self.now(), dry_run=command.dry_run)

    def _hold(self, command: HoldCommand, request_id: str) -> list[dict[str, Any]]:
        """Hold instances through a day. An instance need not be in the ledger, if EC2 knows it."""
        now = self.now()
        hold = Hold(
            owner=command.owner,
            reason=command.reason,
            until=command.until,
            by=command.caller,
            request_id=request_id,
            at=now,
        )
        records = self.scopes.named(command.scope)
        problems = self.scopes.strangers.unseen(records, self.undoing.look)
        word = Word(
            into=partial(replace, hold=hold, released_by=None, revisit_at=now),
            by=author(command, request_id),
            tells=effects.of_hold(hold),
        )
        return mark(self.ledger, records, word, problems, self.now(), dry_run=command.dry_run)

    def _release(self, command: ReleaseCommand, request_id: str) -> list[dict[str, Any]]:
        now = self.now()
        records = self.scopes.named(command.scope)
        problems = {each.arn: "Nobody holds it." for each in records if each.hold is None}
        problems |= self.scopes.strangers.among(records)
        word = Word(
            into=partial(replace, hold=None, released_by=command.signed(request_id), revisit_at=now),
            by=author(command, request_id),
            tells=effects.of_release(now),
        )
        return mark(self.ledger, records, word, problems, self.now(), dry_run=command.dry_run)


def _waits_for_breaker(record: Record) -> bool:
    return record.reason == Reason.BREAKER_OPEN


def _unanswerable(record: Record, command: ApproveCommand | RefuseCommand) -> str | None:
    """Why a record cannot be approved or refused, or None. A refused one can be approved only by name."""
    may_be_answered = record.reason in _ALLOWED and record.status not in OURS
    if not may_be_answered and not awaits_answer(record):
        return "It does not wait for approval."
    answer = record.approval
    is_approved = isinstance(command, ApproveCommand)
    if is_approved and answer is not None and answer.is_refusal and not command.scope.targets:
        return f"{answer.by} refused it on {answer.at:%Y-%m-%d}; name it under targets to approve it."
    return None
