"""What people steer by hand: approvals, holds, the breaker, and undo. Everything is written to the ledger with the name
that the caller claims and the request id that finds the true one in CloudTrail. A dry run writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from imdsv2.aws.ec2 import look
from imdsv2.domain.documents import to_seconds
from imdsv2.domain.history import Answer, Hold, Undo
from imdsv2.domain.instance import Place, Unreachable, partition_of
from imdsv2.domain.lifecycle import OURS, Status
from imdsv2.domain.request import Source
from imdsv2.domain.verdict import Reason
from imdsv2.errors import InvalidRequest
from imdsv2.guard.obstacle import obstacle
from imdsv2.guard.rollback import Return
from imdsv2.ledger.items import account_key
from imdsv2.ledger.record import OPEN, Change
from imdsv2.people.request import Steer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.guard.response import Response
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.request import Command, Scope

RESULTS_SHOWN = 5_000
"""Lambda's answer holds 6 MB. A command with a larger scope is carried out all the same; the ledger has the rest."""

_APPROVED_FOR = timedelta(days=7)
_PLACES_AT_ONCE = 8
_UNDONE_AT_ONCE = 50
"""Instances of a place that are put back together; between two such groups it is looked whether there is time for more."""
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
"""Nothing was enforced before it; the index sorts by the digits of a year."""
_STANDING = frozenset({Status.ENFORCED, Status.VERIFIED})
_BUSY = "Somebody is changing it right now; ask again in a few minutes."
_OVERTAKEN = "Somebody else was quicker; ask again."
_LATER = "It is put back within the next minutes, by the guard."


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Carries out commands. ``region``: the home Region, whose partition account ids belong to; ``now``: the clock."""

    ledger: Ledger
    accounts: Accounts
    members: Members
    response: Response
    policies: PolicySource
    region: str
    now: Callable[[], datetime]

    def carry_out(self, command: Command, request_id: str, has_time: Callable[[], bool]) -> dict[str, Any]:
        """Answer a command. Raises InvalidRequest, and ClientError where the ledger fails."""
        if command.until is not None and command.until < self.now().astimezone(UTC).date():
            raise InvalidRequest("until", f"takes today or a day that is still to come, not {command.until}")
        match command.steer:
            case Steer.CLOSE_BREAKER:
                results = [self._close_breaker(command, request_id)]
            case Steer.UNDO:
                results = self._undo(command, request_id, has_time)
            case Steer.APPROVE | Steer.REFUSE:
                results = self._answer(command, request_id)
            case Steer.HOLD:
                results = self._hold(command, request_id)
            case Steer.RELEASE:
                results = self._release(command, request_id)
        return {
            "command": command.steer,
            "dry_run": command.dry_run,
            "count": len(results),
            "results": results[:RESULTS_SHOWN],
        }

    def _close_breaker(self, command: Command, request_id: str) -> dict[str, Any]:
        number = command.scope.account
        assert number is not None  # noqa: S101 - an order to close a breaker names its account
        there = self._account(number)
        opened_at = self.accounts.of(there).breaker_opened_at
        closes = opened_at is not None and not command.dry_run
        if closes:
            self.accounts.close_breaker(account_key(there), _signed(command, request_id))
        return {
            "account": number,
            "opened_at": to_seconds(opened_at),
            "done": closes,
            "problem": None if opened_at else "Its breaker is not open.",
        }

    def _answer(self, command: Command, request_id: str) -> list[dict[str, Any]]:
        """Approve or refuse: those named, or all that wait in an account or cohort."""
        now = self.now()
        expires_at = datetime.combine(command.until, time.max, UTC) if command.until else now + _APPROVED_FOR
        refuses = command.steer is Steer.REFUSE
        answer = Answer(
            word="refused" if refuses else "approved",
            by=command.caller,
            request_id=request_id,
            at=now,
            expires_at=None if refuses else expires_at,
        )
        records = self._waiting(command.scope)
        problems = {each.arn: problem for each in records if (problem := _unanswerable(each, command)) is not None}
        return self._write(records, partial(replace, approval=answer, revisit_at=now), problems, command)

    def _waiting(self, scope: Scope) -> list[Record]:
        """Those named, or those of an account or cohort that wait for an answer, or have one that is not spent."""
        if scope.targets:
            return list(self.ledger.read(scope.targets).values())
        known = [
            each for key in self._accounts_of(scope) for each in self.ledger.read(self.ledger.waiting(key)).values()
        ]
        return [each for each in known if _awaits_answer(each) and _is_within(each, scope)]

    def _hold(self, command: Command, request_id: str) -> list[dict[str, Any]]:
        """Hold instances for somebody until a day. An instance need not be known to the ledger."""
        now = self.now()
        assert command.until is not None  # noqa: S101 - an order to hold has its last day
        hold = Hold(
            owner=str(command.owner),
            reason=str(command.reason),
            until=command.until,
            by=command.caller,
            request_id=request_id,
            at=now,
        )
        records = list(self.ledger.read(command.scope.targets).values())
        return self._write(records, partial(replace, hold=hold, released_by=None, revisit_at=now), {}, command)

    def _release(self, command: Command, request_id: str) -> list[dict[str, Any]]:
        released = partial(replace, hold=None, released_by=_signed(command, request_id), revisit_at=self.now())
        records = list(self.ledger.read(command.scope.targets).values())
        problems = {each.arn: "Nobody holds it." for each in records if each.hold is None}
        return self._write(records, released, problems, command)

    def _undo(self, command: Command, request_id: str, has_time: Callable[[], bool]) -> list[dict[str, Any]]:
        """Put back what is still as we left it. What there is no time for is left to the guard's next passes."""
        records = self._enforced(command.scope)
        targets = self._look([each.arn for each in records])
        problems = {
            each.arn: problem
            for each in records
            if (problem := _hindrance(each, targets[each.arn], command)) is not None
        }
        undo = Undo(
            by=command.caller,
            why=f"{command.caller or 'Somebody'} asked for it to be put back (request {request_id}).",
            at=self.now(),
            request_id=request_id,
        )
        results = self._write(
            records, partial(replace, undo=undo, watch=OPEN), problems, command, would_be=Status.ROLLED_BACK
        )
        if command.dry_run:
            return results
        marked = [each.arn for each, result in zip(records, results, strict=True) if result["problem"] is None]
        self._put_back(marked, undo.why, command, request_id, has_time)
        ended = self.ledger.read(marked)
        return [_ended(result, ended.get(each.arn)) for each, result in zip(records, results, strict=True)]

    def _put_back(
        self, marked: Iterable[InstanceArn], why: str, command: Command, request_id: str, has_time: Callable[[], bool]
    ) -> None:
        """Places side by side, each in small groups for as long as there is time."""

        def put_back(several: Sequence[InstanceArn]) -> None:
            for batch in _batches(several):
                if not has_time():
                    return
                # Anew, because the groups before it may have taken minutes: others change instances too.
                targets = look(self.members, batch)
                returns = [
                    Return(
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
                self.response.put_back(returns, self.policies.current(self.now()).policy, request_id)

        by_place = _by_place(marked)
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            for _ in pool.map(put_back, by_place.values()):
                pass

    def _enforced(self, scope: Scope) -> list[Record]:
        if scope.targets:
            return list(self.ledger.read(scope.targets).values())
        since = max(scope.since or _BEGINNING, _BEGINNING)
        arns = [row.arn for key in self._accounts_of(scope) for row in self.ledger.enforced_since(key, since)]
        return [
            each for each in self.ledger.read(arns).values() if each.status in _STANDING and _is_within(each, scope)
        ]

    def _look(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Target]:
        by_place = _by_place(arns)
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            looks = pool.map(partial(look, self.members), by_place.values())
            return {arn: target for seen in looks for arn, target in seen.items()}

    def _write(
        self,
        records: Sequence[Record],
        change: Callable[[Record], Record],
        problems: Mapping[InstanceArn, str],
        command: Command,
        would_be: Status | None = None,
    ) -> list[dict[str, Any]]:
        """Make the same change to every record against which nothing speaks. Returns a result for each record, in order."""
        now = self.now()
        hindered = {**problems, **{each.arn: _BUSY for each in records if each.is_leased(now)}}
        if not command.dry_run:
            changes = [Change(before=each, after=change(each)) for each in records if each.arn not in hindered]
            hindered |= dict.fromkeys(self.ledger.write(changes, now), _OVERTAKEN)
        return [
            {
                "target": str(each.arn),
                "status": each.status,
                "reason": each.reason,
                "would_be": would_be if each.arn not in hindered else None,
                "done": not command.dry_run and each.arn not in hindered,
                "problem": hindered.get(each.arn),
            }
            for each in records
        ]

    def _accounts_of(self, scope: Scope) -> list[str]:
        """The accounts that a scope without targets is about, as the ledger names them."""
        if scope.cohort is not None:
            return ["/".join(scope.cohort.split("/")[:2])]
        if scope.account is not None:
            return [account_key(self._account(scope.account))]
        return [each.key for each in self.accounts.all()]

    def _account(self, number: str) -> Place:
        return Place(partition_of(self.region), self.region, number)


_ALLOWED = frozenset(
    {
        Reason.UNUSED,
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
"""What may be approved: what the evidence allows, whatever gate holds it for now."""


def _signed(command: Command, request_id: str) -> str:
    return f"{command.caller or 'somebody'}, request {request_id}"


def _awaits_answer(record: Record) -> bool:
    """Whether it waits for approval, or has an answer that it could still lose."""
    waits = record.reason == Reason.APPROVAL_REQUIRED or record.approval is not None
    return waits and record.status not in OURS


def _unanswerable(record: Record, command: Command) -> str | None:
    """Why an record can be neither approved nor refused. What somebody has refused is approved by its name only."""
    may_be_answered = record.reason in _ALLOWED and record.status not in OURS
    if not may_be_answered and not _awaits_answer(record):
        return "It does not wait for approval."
    answer = record.approval
    if command.steer is Steer.APPROVE and answer is not None and answer.is_refusal and not command.scope.targets:
        return f"{answer.by} refused it on {answer.at:%Y-%m-%d}; name it under targets to approve it."
    return None


def _is_within(record: Record, scope: Scope) -> bool:
    if scope.region and record.arn.region != scope.region:
        return False
    return not scope.cohort or record.cohort == scope.cohort


def _hindrance(record: Record, target: Target, command: Command) -> str | None:
    """Why an instance is not put back for a person who asks."""
    since, enforced_at = command.scope.since, record.enforced_at
    if since is not None and enforced_at is not None and enforced_at < since:
        return f"It was changed before that, at {to_seconds(enforced_at)}."
    if record.status == Status.ROLLING_BACK:
        return "It is being put back already; the guard brings that to its end."
    is_throttled = isinstance(target, Unreachable) and target.throttled
    if is_throttled and record.status in _STANDING and not command.dry_run:
        return None  # It is marked all the same: the guard looks at it when EC2 has room again.
    return obstacle(record, target)


def _is_still_asked_back(record: Record) -> bool:
    """Whether it bears the mark of an undo, and the guard has not begun with it."""
    return record.undo is not None and record.status != Status.ROLLING_BACK


def _ended(result: dict[str, Any], record: Record | None) -> dict[str, Any]:
    """A result of undo, once it has been tried: `done` only where tokens are optional again."""
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
        by_place[Place(arn.partition, arn.region, arn.account)].append(arn)
    return by_place


def _batches(arns: Iterable[InstanceArn]) -> Iterator[list[InstanceArn]]:
    remaining = iter(arns)
    while batch := list(islice(remaining, _UNDONE_AT_ONCE)):
        yield batch
