"""What people steer by hand: approvals, holds, the breaker, and undo. Everything is written to the ledger with the name
that the caller claims and the request id that finds the true one in CloudTrail. A dry run writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from imdsv2.errors import InvalidRequest
from imdsv2.guard import Pass
from imdsv2.ledger import OPEN, Change, account_key
from imdsv2.model import Place, Reason, Source, Status, partition_of
from imdsv2.orders import Steer
from imdsv2.rollback import Return, obstacle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from imdsv2.brakes import Brakes
    from imdsv2.guard import Guard
    from imdsv2.ledger import Entry, Ledger
    from imdsv2.model import InstanceArn, Target
    from imdsv2.orders import Command, Scope
    from imdsv2.policy_source import PolicySource

_APPROVED_FOR = timedelta(days=7)
_UNDONE_AT_ONCE = 50
"""Instances of a place that are put back together; between two such groups it is looked whether there is time for more."""
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
_OURS = frozenset({Status.ENFORCED, Status.VERIFIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Carries out commands. ``region``: the home Region, whose partition account ids belong to; ``now``: the clock."""

    ledger: Ledger
    brakes: Brakes
    guard: Guard
    policies: PolicySource
    region: str
    now: Callable[[], datetime]

    def carry_out(self, command: Command, request_id: str, has_time: Callable[[], bool]) -> dict[str, Any]:
        """Answer a command. Raises InvalidRequest, and ClientError where the ledger fails."""
        match command.steer:
            case Steer.CLOSE_BREAKER:
                results = [self._close_breaker(command, request_id)]
            case Steer.UNDO:
                results = self._undo(command, request_id, has_time)
            case Steer.APPROVE | Steer.REFUSE:
                results = self._answer(command, request_id)
            case Steer.HOLD | Steer.RELEASE:
                results = self._hold(command, request_id)
        return {"command": command.steer, "dry_run": command.dry_run, "results": results}

    def _close_breaker(self, command: Command, request_id: str) -> dict[str, Any]:
        if command.scope.account is None:
            raise InvalidRequest("close_breaker.account", "takes an account id of 12 digits")
        key = self._key(command.scope.account)
        known = next((each for each in self.brakes.accounts() if each.key == key), None)
        opened_at = known.breaker_opened_at if known else None
        if opened_at is None:
            return {"account": command.scope.account, "done": False, "problem": "Its breaker is not open."}
        if not command.dry_run:
            self.brakes.close_breaker(key, f"{command.caller}, request {request_id}")
        return {
            "account": command.scope.account,
            "opened_at": opened_at.isoformat(),
            "done": not command.dry_run,
            "problem": None,
        }

    def _answer(self, command: Command, request_id: str) -> list[dict[str, Any]]:
        """Approve or refuse: of those named, or of all that wait in an account or cohort."""
        now = self.now()
        expires_at = datetime.combine(command.until, time.max, UTC) if command.until else now + _APPROVED_FOR
        if expires_at <= now:
            raise InvalidRequest("until", "is past; takes a date that is still to come")
        approval = {
            "word": "approved" if command.steer is Steer.APPROVE else "refused",
            "by": command.caller,
            "request_id": request_id,
            "at": now,
            "expires_at": expires_at,
        }
        entries = self._waiting(command.scope)
        problems = {
            each.arn: "It does not wait for approval."
            for each in entries
            if each.attributes.get("reason") not in _WAITING
        }
        return self._write(entries, {"approval": approval, "revisit_at": now}, problems, command)

    def _waiting(self, scope: Scope) -> list[Entry]:
        if scope.targets:
            return list(self.ledger.read(scope.targets).values())
        account = self._account_of(scope)
        if account is None:
            raise InvalidRequest("approve", "takes one of targets, cohort and account")
        known = self.ledger.read(self.ledger.waiting(account)).values()
        return [
            each
            for each in known
            if each.attributes.get("reason") == Reason.APPROVAL_REQUIRED and _is_within(each, scope)
        ]

    def _hold(self, command: Command, request_id: str) -> list[dict[str, Any]]:
        """Hold instances for somebody until a day, or release them. An instance need not be known to the ledger."""
        now = self.now()
        hold: dict[str, Any] | None = None
        if command.steer is Steer.HOLD:
            assert command.until is not None  # noqa: S101 - an order to hold has its last day
            if command.until < now.date():
                raise InvalidRequest("until", "is past; takes a date that is still to come")
            hold = {
                "owner": command.owner,
                "reason": command.reason,
                "until": command.until.isoformat(),
                "by": command.caller,
                "request_id": request_id,
                "at": now,
            }
        entries = list(self.ledger.read(command.scope.targets).values())
        problems = {}
        if hold is None:
            problems = {each.arn: "Nobody holds it." for each in entries if each.history.hold is None}
        return self._write(entries, {"hold": hold, "revisit_at": now}, problems, command)

    def _undo(self, command: Command, request_id: str, has_time: Callable[[], bool]) -> list[dict[str, Any]]:
        """Put back what is still as we left it. What there is no time for is left to the guard's next passes."""
        entries = self._enforced(command.scope)
        targets = self._look([each.arn for each in entries])
        problems = {each.arn: problem for each in entries if (problem := obstacle(each, targets[each.arn])) is not None}
        by = command.caller or "somebody"
        why = f"{by} asked for it to be put back (request {request_id})."
        mark = {"undo": {"by": by, "why": why, "at": self.now(), "request_id": request_id}, "watch": OPEN}
        results = self._write(entries, mark, problems, command, "rolled_back")
        if command.dry_run:
            return results
        marked = [each.arn for each, result in zip(entries, results, strict=True) if result["problem"] is None]
        for batch in _by_place(marked):
            if not has_time():
                break
            fresh = self.ledger.read(batch)
            returns = [
                Return(
                    entry=fresh[arn],
                    target=targets[arn],
                    why=why,
                    broken=False,
                    source=Source.MANUAL,
                    caller=command.caller,
                )
                for arn in batch
                if fresh[arn].attributes.get("undo") is not None
            ]
            self.guard.put_back(returns, self.policies.current(self.now()).policy, request_id, Pass())
        ended = self.ledger.read(marked)
        return [_ended(result, ended.get(each.arn)) for each, result in zip(entries, results, strict=True)]

    def _enforced(self, scope: Scope) -> list[Entry]:
        if scope.targets:
            return list(self.ledger.read(scope.targets).values())
        since = scope.since or _BEGINNING
        account = self._account_of(scope)
        keys = [account] if account else [each.key for each in self.brakes.accounts()]
        arns = [row.arn for key in keys for row in self.ledger.enforced_since(key, since) if row.status in _OURS]
        return [each for each in self.ledger.read(arns).values() if each.status in _OURS and _is_within(each, scope)]

    def _look(self, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Target]:
        seen: dict[InstanceArn, Target] = {}
        by_place: dict[Place, list[InstanceArn]] = defaultdict(list)
        for arn in arns:
            by_place[Place(arn.partition, arn.region, arn.account)].append(arn)
        for place, several in by_place.items():
            seen |= self.guard.look(place, several)
        return seen

    def _write(
        self,
        entries: Sequence[Entry],
        attributes: Mapping[str, Any],
        problems: Mapping[InstanceArn, str],
        command: Command,
        would_be: str | None = None,
    ) -> list[dict[str, Any]]:
        """Write the same to every entry against which nothing speaks. Returns a result for each entry, in order."""
        now = self.now()
        busy = {
            each.arn: "Somebody is changing it right now; ask again in a few minutes."
            for each in entries
            if each.is_leased(now) and each.arn not in problems
        }
        hindered = {**problems, **busy}
        changes = [Change(entry=each, attributes=attributes) for each in entries if each.arn not in hindered]
        overtaken = set() if command.dry_run else self.ledger.write(changes, now)
        hindered |= dict.fromkeys(overtaken, "Somebody else was quicker; ask again.")
        return [
            {
                "target": str(each.arn),
                "status": each.status,
                "reason": each.attributes.get("reason"),
                "would_be": would_be if each.arn not in hindered else None,
                "done": not command.dry_run and each.arn not in hindered,
                "problem": hindered.get(each.arn),
            }
            for each in entries
        ]

    def _account_of(self, scope: Scope) -> str | None:
        if scope.cohort:
            return "/".join(scope.cohort.split("/")[:2])
        return self._key(scope.account) if scope.account else None

    def _key(self, account: str) -> str:
        return account_key(Place(partition_of(self.region), self.region, account))


_WAITING = frozenset(
    {Reason.APPROVAL_REQUIRED, Reason.UNUSED, Reason.NOTICE_GIVEN, Reason.CANARY_WAIT, Reason.CAP_REACHED}
)
"""What may be approved: what the evidence allows, whatever gate holds it for now."""


def _is_within(entry: Entry, scope: Scope) -> bool:
    if scope.region and entry.arn.region != scope.region:
        return False
    return not scope.cohort or entry.attributes.get("cohort") == scope.cohort


def _ended(result: dict[str, Any], entry: Entry | None) -> dict[str, Any]:
    """A result of undo, once it has been tried: `done` only where tokens are optional again."""
    if entry is None:
        return result
    rolled_back = entry.status == Status.ROLLED_BACK
    problem = None if rolled_back else entry.attributes.get("left_because")
    later = None if rolled_back or problem else "It is put back within the next minutes, by the guard."
    return {**result, "status": entry.status, "done": rolled_back, "problem": problem or later}


def _by_place(arns: Iterable[InstanceArn]) -> Iterator[list[InstanceArn]]:
    by_place: dict[tuple[str, str, str], list[InstanceArn]] = defaultdict(list)
    for arn in arns:
        by_place[(arn.partition, arn.account, arn.region)].append(arn)
    for several in by_place.values():
        remaining = iter(several)
        while batch := list(islice(remaining, _UNDONE_AT_ONCE)):
            yield batch
