"""Puts sources back at a person's request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.cohort import lineage_of
from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.source_fix import FixStatus
from imdsv2.errors import InvalidRequest, LedgerContended
from imdsv2.ledger.items import account_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.source_fix import SourceFix
    from imdsv2.fix.run import Fixing
    from imdsv2.people.command_request import Scope, UndoCommand

_GOES_BACK = frozenset({FixStatus.FIXED, FixStatus.VERIFIED, FixStatus.FIXING})
_NOTHING = "There is nothing to put back: the service has not changed it, or it has been put back."
_LATER = "There was no time for it: ask again."


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUndoing:
    """Puts back what the service changed of sources. ``region``: the home Region, whose partition account ids belong to."""

    fixing: Fixing
    region: str

    def undo(self, command: UndoCommand, request_id: str, has_time: Callable[[], bool]) -> list[dict[str, Any]]:
        """One result for each source of the scope. Raises InvalidRequest for a source that the service never changed."""
        return [self._undone(each, command, request_id, has_time) for each in self._of(command.scope)]

    def _undone(
        self, fix: SourceFix, command: UndoCommand, request_id: str, has_time: Callable[[], bool]
    ) -> dict[str, Any]:
        status, problem, explanation = fix.status, None, fix.explanation
        if fix.status is FixStatus.GOING_BACK:
            problem = f"{fix.explanation} It is being put back; the guard brings it to its end."
        elif not _goes_back(fix):
            problem = _NOTHING
        elif not command.dry_run and not has_time():
            problem = _LATER
        elif not command.dry_run:
            because = f": {command.reason.rstrip('.')}" if command.reason else ""
            why = f"{command.caller or 'Somebody'} asked for it to be put back (request {request_id}){because}."
            try:
                ended = self.fixing.undo(fix, command.caller, request_id, why, command.reason)
            except (
                *CALL_FAILURES,
                LedgerContended,
            ) as error:  # It keeps no other source, and no instance, from going back.
                problem = f"It could not be put back now ({describe_error(error)}). Ask again."
            else:
                status = ended.fix.status if ended.fix is not None else fix.status
                explanation = ended.why
                problem = _why_not(status, ended.why)
        return {
            "source": fix.key,
            "status": status,
            "would_be": FixStatus.GONE_BACK if problem is None else None,
            "done": not command.dry_run and problem is None,
            "problem": problem,
            "explanation": explanation,
        }

    def _of(self, scope: Scope) -> list[SourceFix]:
        if scope.source is not None:
            fix = self.fixing.fixes.read(scope.source)
            if not fix.version:
                raise InvalidRequest("undo.source", "names no source that the service has changed")
            return [fix]
        if scope.targets:
            return []
        prefix = ""
        if scope.account is not None:
            place = Place(partition_of(self.region), self.region, scope.account)
            prefix = f"{account_key(place)}/{scope.region}/" if scope.region else f"{account_key(place)}/"
        return [
            each
            for each in self.fixing.fixes.all(prefix)
            if _goes_back(each)
            and (scope.cohort is None or lineage_of(scope.cohort) in each.cohorts)
            and (scope.since is None or (each.fixed_at is not None and each.fixed_at >= scope.since))
        ]


def _why_not(status: FixStatus | None, why: str) -> str | None:
    """Why it is not back. What is not begun, because somebody else is changing it, nobody brings to its end."""
    if status is FixStatus.GONE_BACK:
        return None
    return f"{why} The guard brings it to its end." if status is FixStatus.GOING_BACK else why


def _goes_back(fix: SourceFix) -> bool:
    """Whether something of it may be in force: an earlier version of the service left what it had made where an attempt ended."""
    return fix.status in _GOES_BACK or (fix.status in {FixStatus.LEFT, FixStatus.FAILED} and bool(fix.made))
