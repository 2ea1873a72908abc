"""Undo: marks instances in the ledger and rolls them back until time runs out; the guard finishes the rest."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2.aws.ec2 import look
from imdsv2.aws.errors import CALL_FAILURES
from imdsv2.domain.batches import batched
from imdsv2.domain.documents import to_seconds
from imdsv2.domain.history import Undo
from imdsv2.domain.instance import Instance, Place, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Source
from imdsv2.errors import LedgerContended
from imdsv2.guard.obstacle import obstacle
from imdsv2.guard.rollback_request import RollbackRequest
from imdsv2.ledger.record_values import OPEN
from imdsv2.people.mark import Word, author, mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.guard.response import Response
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.command_request import UndoCommand
    from imdsv2.people.scope import Scopes

_PLACES_AT_ONCE = 8
_UNDONE_AT_ONCE = 50
"""Instances of one account and Region that are rolled back together; the remaining time is checked between batches."""
_LATER = "It is put back within the next minutes, by the guard."


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """Rolls back instances at a person's request. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    scopes: Scopes
    response: Response
    policies: PolicySource
    now: Callable[[], datetime]

    def undo(self, command: UndoCommand, request_id: str, has_time: Callable[[], bool]) -> list[dict[str, Any]]:
        """Roll back what is still as the service left it. If time runs out, the guard's next passes finish."""
        records = self.scopes.enforced(command)
        problems = self.scopes.strangers.among(records)
        targets = self.look([each.arn for each in records if each.arn not in problems])
        problems |= {
            each.arn: problem
            for each in records
            if each.arn in targets and (problem := _hindrance(each, targets[each.arn], command)) is not None
        }
        because = f": {command.reason.rstrip('.')}" if command.reason else ""
        undo = Undo(
            by=command.caller,
            why=f"{command.caller or 'Somebody'} asked for it to be put back (request {request_id}){because}.",
            at=self.now(),
            request_id=request_id,
        )
        results = mark(
            self.ledger,
            records,
            Word(
                into=partial(replace, undo=undo, watch=OPEN),
                by=author(command, request_id),
                would_be=Status.ROLLED_BACK,
            ),
            problems,
            self.now(),
            dry_run=command.dry_run,
        )
        if command.dry_run:
            return results
        marked = [each.arn for each, result in zip(records, results, strict=True) if result["problem"] is None]
        self._put_back(marked, undo.why, command, request_id, has_time)
        ended = self.ledger.read(marked)
        return [_ended(result, ended.get(each.arn)) for each, result in zip(records, results, strict=True)]

    def _put_back(
        self,
        marked: Iterable[InstanceArn],
        why: str,
        command: UndoCommand,
        request_id: str,
        has_time: Callable[[], bool],
    ) -> None:
        """Roll back accounts and Regions in parallel, each in batches until time runs out."""

        def put_back(several: Sequence[InstanceArn]) -> None:
            for batch in batched(several, _UNDONE_AT_ONCE):
                if not has_time():
                    return
                # Read again: earlier batches may have taken minutes, in which others may have changed instances.
                targets = look(self.clients, batch)
                wanted = [
                    RollbackRequest(
                        record=record,
                        target=target,
                        why=why,
                        broken=False,
                        source=Source.MANUAL,
                        caller=command.caller,
                    )
                    for arn, record in self.ledger.read(batch).items()
                    if not isinstance(target := targets[arn], Unreachable) and _is_still_asked_back(record)
                ]
                try:
                    answered = self.response.put_back(wanted, self.policies.current(self.now()).policy, request_id)
                    self.response.discharge(answered.owing)
                except (*CALL_FAILURES, LedgerContended):
                    return  # All of it is on record: the guard brings it to its end.

        by_place = _by_place(marked)
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            for _ in pool.map(put_back, by_place.values()):
                pass

    def look(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Target]:
        """What EC2 shows of instances, or why it does not."""
        by_place = _by_place(arns)
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            looks = pool.map(partial(look, self.clients), by_place.values())
            return {arn: target for seen in looks for arn, target in seen.items()}


def _hindrance(record: Record, target: Target, command: UndoCommand) -> str | None:
    """Why an instance cannot be rolled back at a person's request; None if it can."""
    since, enforced_at = command.scope.since, record.enforced_at
    if since is not None and enforced_at is not None and enforced_at < since:
        return f"It was changed before that, at {to_seconds(enforced_at)}."
    if record.status == Status.ROLLING_BACK:
        return "It is being put back already; the guard brings that to its end."
    is_throttled = isinstance(target, Unreachable) and target.throttled
    if is_throttled and record.stands and not command.dry_run:
        return None  # Mark it anyway: the guard continues when EC2 no longer throttles.
    is_optional = isinstance(target, Instance) and target.options.http_tokens == "optional"
    if is_optional and enforced_at is not None:
        return f"It is back already: EC2 shows tokens as optional. {_back_since(record)}"
    return obstacle(record, target)


def _back_since(record: Record) -> str:
    if record.status == Status.ROLLED_BACK:
        return "The service has put it back before."
    return (
        "Somebody has made them optional since the service required them."
        if record.stands
        else "There is nothing to take back."
    )


def _is_still_asked_back(record: Record) -> bool:
    """Whether the undo is still requested and the guard has not begun the rollback."""
    return record.undo is not None and record.status != Status.ROLLING_BACK


def _ended(result: dict[str, Any], record: Record | None) -> dict[str, Any]:
    """The result of an undo after the attempt: `done` only if the instance was rolled back."""
    if record is None:
        return result
    done = record.status == Status.ROLLED_BACK
    why_not = _LATER if record.undo is not None else record.left_because or record.explanation
    return {
        **result,
        "status": record.status,
        "reason": record.reason,
        "done": done,
        "problem": None if done else why_not,
    }


def _by_place(arns: Iterable[InstanceArn]) -> dict[Place, list[InstanceArn]]:
    by_place: dict[Place, list[InstanceArn]] = defaultdict(list)
    for arn in arns:
        by_place[Place.of(arn)].append(arn)
    return by_place
