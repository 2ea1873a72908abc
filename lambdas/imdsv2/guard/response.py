"""The answer to breakage, and to a person who wants an instance back: hold the cohort, roll back (or leave, and say why); then
discharge what the records owe: count towards the breaker, tell people."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.account import A_DAY
from imdsv2.domain.health import Signs
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Mode, RollbackMode
from imdsv2.domain.texts.words import minute
from imdsv2.errors import LedgerContended
from imdsv2.guard.counting import counted_from, rejected
from imdsv2.guard.obstacle import obstacle
from imdsv2.guard.rollback_request import End, Left, RollbackRequest
from imdsv2.guard.signs import Begin, gather_signs
from imdsv2.ledger.change import Change
from imdsv2.ledger.items import account_key
from imdsv2.ledger.record_values import COUNT, OPEN, TAG, UNPROVEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.holding import CohortHolds
    from imdsv2.guard.rollback import Rollback
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.tell import Teller

_BETWEEN_ATTEMPTS = timedelta(hours=1)
"""Interval between attempts to roll back after EC2 refused, because the refusal may be lifted."""
_A_PASS = timedelta(minutes=4)  # At least as much lies between two.
_ONLY_ALERT = 'The policy says "rollback": "alert". Put it back by hand, or update its software.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The result of a response: the number of instances rolled back, and of those broken and not rolled back. ``failed``: of those
    that were not tried because their cohort could not be held. ``owing``: the records of which people have yet to be told;
    `Response.discharge` does that."""

    rolled_back: int = 0
    left_broken: int = 0
    failed: int = 0
    owing: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Responds for instances of one account and Region at a time. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    accounts: Accounts
    holds: CohortHolds
    policies: PolicySource
    rollback: Rollback
    writer: Writer
    teller: Teller
    now: Callable[[], datetime]
    logger: Logger

    def put_back(self, wanted: Sequence[RollbackRequest], policy: Policy, request_id: str) -> Answered:
        """Put back what broke, or what a person wants back, as far as policy and EC2 let it. What is owed then is left to
        `discharge`, which may take its time."""
        wanted = self._remembered(self._with_breakage(wanted))
        unheld = self.holds.hold_each_source(wanted)
        wanted = [each for each in wanted if each.arn not in {one.arn for one in unheld}]
        alerted = {each.arn: why for each in wanted if (why := _only_told(each, policy)) is not None}
        due = [each for each in wanted if each.arn not in alerted and self._may_try(each)]
        ended = self.rollback.run(due, request_id)
        returned = [each for each in ended if each.end is End.ROLLED_BACK]
        left = [
            Left(asked=each.asked, record=each.record, problem=str(each.problem), kind=each.kind or str(each.problem))
            for each in ended
            if each.end is End.LEFT
        ]
        left += [
            Left(asked=each, record=each.record, problem=alerted[each.arn], kind=alerted[each.arn], is_only_told=True)
            for each in wanted
            if each.arn in alerted
        ]
        self.writer.write([change for each in left if (change := each.change(self.now())) is not None])
        untried = len(wanted) - len(due) - len(alerted)
        later = [*unheld, *(each.asked for each in ended if each.end is End.LATER)]
        return Answered(
            rolled_back=len(returned),
            left_broken=sum(each.asked.broken for each in left) + untried + sum(map(self._is_overdue, later)),
            failed=len(unheld),
            owing=(*(each.record for each in returned), *(each.record for each in left)),
        )

    def discharge(self, records: Iterable[Record], tagged: AbstractSet[InstanceArn] = frozenset()) -> None:
        """Do what records owe: count what broke towards the breakers, tell people and Security Hub; and record that it is done.
        Whoever comes later does it again as far as that is not on record. ``tagged``: whose tags have been replaced."""
        records = list(records)
        counted = self._count([each for each in records if COUNT in each.owes])
        paid = {
            each.arn: frozenset({*({COUNT} if each.arn in counted else ()), *({TAG} if each.arn in tagged else ())})
            for each in records
        }
        self.tell([each.arn for each in records], paid)

    def tell(self, arns: Iterable[InstanceArn], paid: Mapping[InstanceArn, frozenset[str]] | None = None) -> None:
        """Send what is due to people and Security Hub for these instances. ``paid``: as for `Teller.tell`."""
        arns = sorted(arns)
        if not arns:
            return
        workflow = self.policies.current(self.now()).policy.mode is not Mode.OBSERVE
        self.teller.tell(arns, self.now(), workflow=workflow, paid=paid)

    def _count(self, broken: Iterable[Record]) -> set[InstanceArn]:
        """Count what broke towards the breakers of its accounts, and tell people of those that open. Returns what is counted."""
        by_account: dict[str, list[Record]] = defaultdict(list)
        for each in broken:
            by_account[account_key(each.arn)].append(each)
        counted: set[InstanceArn] = set()
        for account, several in by_account.items():
            try:
                self._count_in(account, several)
            except (*CALL_FAILURES, LedgerContended) as error:
                problem = {"account": account, "problem": describe_error(error)}
                self.logger.warning("breakage not counted; the next pass does it", extra=problem)
                continue
            counted |= {each.arn for each in several}
        return counted

    def _count_in(self, account: str, several: Iterable[Record]) -> None:
        now = self.now()
        enforced = len(self.ledger.indexes.enforced_since(account, now - A_DAY))
        broken = {each.arn.instance_id: each.enforced_at or now for each in several}
        known = self.accounts.count_broken(account, broken, enforced, now)
        if known.breaker_opened_at == now:
            self.logger.error("breaker opened", extra={"account": known.key})
        self.tell_breaker(known)

    def tell_breaker(self, account: Account) -> None:
        """Tell people of an open breaker, unless they have been told."""
        if account.owes_breaker_message and self.teller.breaker_opened(account):
            self.accounts.breaker_told(account, self.now())

    def _remembered(self, wanted: Sequence[RollbackRequest]) -> list[RollbackRequest]:
        """The requests; those that only a recall has found are on record as broken before anything else is tried. After that they are
        the guard's at every pass. Those that another has changed since are left to the next pass."""
        now = self.now()
        changes = [
            Change(before=each.record, after=_found_broken(each.record, now))
            for each in wanted
            if each.broken and each.record.stands and _may_be_forgotten(each.record)
        ]
        if not changes:
            return list(wanted)
        done = self.writer.write(changes)
        written = {change.arn: change.applied() for change in changes if change.arn not in done.lost}
        return [
            replace(each, record=written.get(each.arn, each.record))
            for each in wanted
            if each.arn not in done.overtaken
        ]

    def _is_overdue(self, each: RollbackRequest) -> bool:
        """Whether an earlier pass has begun to put it back, or tried to, in vain."""
        record = each.record
        asked_at = record.undo.at if record.undo is not None else self.now()
        tried = record.is_broken and record.broken_at is not None and self.now() - record.broken_at >= _A_PASS
        return tried or record.status == Status.ROLLING_BACK or self.now() - asked_at >= _A_PASS

    def _with_breakage(self, wanted: Sequence[RollbackRequest]) -> list[RollbackRequest]:
        """The requests, each that a person asked for with what CloudWatch says of its software since the enforcement: people want
        back what broke, and seldom say so."""
        asked = {each.arn: each.record for each in wanted if each.is_by_person and not each.broken}
        if not asked:
            return list(wanted)
        now = self.now()
        begins = {arn: Begin(watch=now, count=counted_from(record)) for arn, record in asked.items()}
        try:
            signs = gather_signs(self.clients.cloudwatch(next(iter(asked))), begins, set(), now)
        except CALL_FAILURES as error:
            signs = dict.fromkeys(asked, Signs(problem=describe_error(error)))
        return [_with_signs(each, signs[each.arn]) if each.arn in asked else each for each in wanted]

    def _may_try(self, each: RollbackRequest) -> bool:
        """Whether to try to put it back now: not again and again where EC2 has just refused."""
        refused_at = each.record.left_at
        if each.is_by_person or refused_at is None or each.record.left_because is None:
            return True
        return obstacle(each.record, each.target) is not None or self.now() - refused_at >= _BETWEEN_ATTEMPTS


def _may_be_forgotten(record: Record) -> bool:
    """Whether nothing but a recall looks at it: its first watch is over, and it is not known as broken."""
    return not record.is_watched or (record.status == Status.VERIFIED and not record.is_broken)


def _found_broken(record: Record, now: datetime) -> Record:
    return replace(
        record,
        watch=OPEN,
        broken_at=record.broken_at if record.is_broken else now,
        left_because=None if record.left_because == UNPROVEN else record.left_because,
    )


def _with_signs(each: RollbackRequest, signs: Signs) -> RollbackRequest:
    """A rollback that a person asked for, with what is known of its software: what the guard recorded stands, and any call that
    was refused tells why it is wanted back."""
    if signs.refused:
        said = f"{rejected(signs, counted_from(each.record), None)}: its software needs IMDSv1."
    elif each.record.is_broken and each.record.broken_at is not None:
        said = f"Its software had broken on {minute(each.record.broken_at)}."
    elif signs.problem:
        return replace(each, why=f"{each.why} Whether calls were rejected could not be read ({signs.problem}).")
    else:
        return each
    return replace(each, broken=True, why=f"{each.why} {said}")


def _only_told(each: RollbackRequest, policy: Policy) -> str | None:
    """Why people alone may put it back; None where the guard may. A rollback that has begun is brought to its end."""
    if not each.broken or each.is_by_person or each.record.status == Status.ROLLING_BACK:
        return None
    if policy.rollback is RollbackMode.ALERT:
        return _ONLY_ALERT
    tags = each.target.tags if isinstance(each.target, Instance) else {}
    if tags.get(policy.rollback_tag, "").strip().lower() == RollbackMode.ALERT:
        return f'Its tag {policy.rollback_tag} says "alert". Put it back by hand, or update its software.'
    return None
