"""The response to breakage: hold the cohort, roll back (or leave it and explain), count for the breaker, notify."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.account import A_DAY
from imdsv2.domain.cohort import Cohort
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Mode, RollbackMode
from imdsv2.guard.obstacle import obstacle
from imdsv2.guard.rollback import End, Return
from imdsv2.ledger.items import account_key
from imdsv2.ledger.record import OPEN, Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.rollback import Returned, Rollback
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.cohort import Cohorts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.tell import Teller

_BETWEEN_ATTEMPTS = timedelta(hours=1)
"""Interval between attempts to roll back after EC2 refused, because the refusal may be lifted."""
_ONLY_ALERT = 'The policy says "rollback": "alert". Put it back by hand, or update its software.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The result of a response: the number of instances rolled back, and of those broken and not rolled back."""

    rolled_back: int = 0
    left_broken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """A rollback that was not made, its current record, and the reason."""

    asked: Return
    record: Record
    problem: str

    def change(self, now: datetime) -> Change | None:
        """The change for an instance that is not rolled back; people are notified again only if the reason changes."""
        explanation = f"{self.asked.why} It was not put back: {self.problem}"
        after = self.record
        if self.problem != _ONLY_ALERT and obstacle(self.asked.record, self.asked.target) is None:
            after = replace(after, left_at=now, explanation=explanation)  # A rollback was attempted.
        if self.record.left_because != self.problem:
            after = replace(after, left_because=self.problem, explanation=explanation, changed_at=now)
        if self.asked.broken and not self.record.is_broken:
            after = replace(after, broken_at=now, watch=OPEN)
        if not self.asked.broken:
            after = replace(after, undo=None)
        return Change(before=self.record, after=after) if after != self.record else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Responds for instances of one account and Region at a time. ``now``: the clock."""

    ledger: Ledger
    accounts: Accounts
    cohorts: Cohorts
    policies: PolicySource
    rollback: Rollback
    teller: Teller
    now: Callable[[], datetime]
    logger: Logger

    def put_back(self, returns: Sequence[Return], policy: Policy, request_id: str) -> Answered:
        """Roll back broken or requested instances, as far as the policy and EC2 permit."""
        self._hold_cohorts([each for each in returns if each.broken])
        alerted = [each for each in returns if _is_only_told(each, policy)]
        due = [each for each in returns if each not in alerted and self._may_try(each)]
        ended = self.rollback.run(due, request_id)
        returned = [each for each in ended if each.end is End.ROLLED_BACK]
        left = [
            _Left(asked=each.asked, record=each.record, problem=str(each.problem))
            for each in ended
            if each.end is End.LEFT
        ]
        left += [_Left(asked=each, record=each.record, problem=_ONLY_ALERT) for each in alerted]
        self.ledger.write([change for each in left if (change := each.change(self.now())) is not None], self.now())
        self._count(returned)
        self.tell([each.arn for each in returned] + [each.record.arn for each in left])
        untried = len(returns) - len(due) - len(alerted)
        return Answered(rolled_back=len(returned), left_broken=sum(each.asked.broken for each in left) + untried)

    def tell(self, arns: Iterable[InstanceArn]) -> None:
        """Send what is due to people and Security Hub for these instances."""
        workflow = self.policies.current(self.now()).policy.mode is not Mode.OBSERVE
        self.teller.tell(sorted(arns), self.now(), workflow=workflow)

    def _hold_cohorts(self, broken: Iterable[Return]) -> None:
        """A broken instance holds its whole cohort."""
        for each in broken:
            if each.record.cohort and not each.record.is_broken:
                self.cohorts.change(each.record.cohort, _broken_by(each.arn, self.now()))

    def _may_try(self, each: Return) -> bool:
        """Whether to attempt a rollback now; after a refusal by EC2, at most once per hour."""
        refused_at = each.record.left_at
        if not each.broken or refused_at is None or each.record.left_because is None:
            return True
        return obstacle(each.record, each.target) is not None or self.now() - refused_at >= _BETWEEN_ATTEMPTS

    def _count(self, returned: Sequence[Returned]) -> None:
        by_account: dict[str, list[Returned]] = defaultdict(list)
        for each in returned:
            if each.asked.broken:
                by_account[account_key(each.arn)].append(each)
        for account, several in by_account.items():
            now = self.now()
            enforced = len(self.ledger.enforced_since(account, now - A_DAY))
            known = self.accounts.count_rollbacks(account, len(several), enforced, now)
            if known.breaker_opened_at == now:
                self.logger.error("breaker opened", extra={"account": known.key})
                self.teller.breaker_opened(known)


def _broken_by(arn: InstanceArn, now: datetime) -> Callable[[Cohort], Cohort]:
    return lambda known: Cohort(key=known.key, version=known.version, broken_by=arn, broken_at=now)


def _is_only_told(each: Return, policy: Policy) -> bool:
    """Whether the policy leaves the rollback to people; one that has already begun is still finished."""
    return each.broken and policy.rollback is RollbackMode.ALERT and each.record.status != Status.ROLLING_BACK
