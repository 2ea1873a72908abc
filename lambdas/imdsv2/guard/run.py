"""The guard: watches enforced instances until they are proved healthy, and rolls back those that break.

For each account and Region: EC2 (options unchanged? restarted?) -> CloudWatch (rejected calls, signs of life) -> health
-> ledger (`verified`), or the response to breakage. Gates and caps do not apply.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import look
from imdsv2.domain.instance import Instance, Place, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.guard.watch import is_dormant, is_lost, noticed, resumed, watched
from imdsv2.ledger.record import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.departures import Departures
    from imdsv2.guard.judging import Judging
    from imdsv2.guard.recall import Recall
    from imdsv2.guard.response import Answered, Response
    from imdsv2.guard.watch import Watched
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Enforced, Record
    from imdsv2.ledger.table import Ledger

_PLACES_AT_ONCE = 8
_BETWEEN_PASSES = timedelta(minutes=4)
"""An account that another pass has just looked after is left to it."""
_MAY_ARRIVE = timedelta(hours=12)
"""How long after the end of a watch refused calls of it are still looked for."""


@dataclass(kw_only=True)
class Pass:
    """The counts of one pass of the guard."""

    watched: int = 0
    verified: int = 0
    rolled_back: int = 0
    left_broken: int = 0
    breakers_open: int = 0
    failed: int = 0

    def add(self, other: Pass) -> None:
        self.watched += other.watched
        self.verified += other.verified
        self.rolled_back += other.rolled_back
        self.left_broken += other.left_broken
        self.failed += other.failed

    def add_answer(self, answered: Answered) -> None:
        self.rolled_back += answered.rolled_back
        self.left_broken += answered.left_broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Guards every account that has enforcements. ``now``: the clock."""

    members: Members
    ledger: Ledger
    accounts: Accounts
    policies: PolicySource
    recall: Recall
    judging: Judging
    departures: Departures
    response: Response
    now: Callable[[], datetime]
    logger: Logger

    def run(self, request_id: str, has_time: Callable[[], bool]) -> Pass:
        """One pass over the accounts, until time runs out. A failure does not stop the others; it is counted."""
        result, lock = Pass(), Lock()

        def look_after(account: Account) -> None:
            if not has_time() or not self.accounts.claim(account, self.now()):
                return
            done = self._guard_account(account, request_id, recalls=_is_first_of_the_hour(account, self.now()))
            with lock:
                result.add(done)

        accounts = self.accounts.all()
        due = [each for each in accounts if each.guarded_at is None or self.now() - each.guarded_at >= _BETWEEN_PASSES]
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            for _ in pool.map(look_after, due):
                pass
        result.breakers_open = sum(each.breaker_opened_at is not None for each in self.accounts.all())
        return result

    def _guard_account(self, account: Account, request_id: str, *, recalls: bool) -> Pass:
        done = Pass()
        rows: dict[Place, list[Enforced]] = defaultdict(list)
        for each in self.ledger.watched(account.key):
            rows[Place(each.arn.partition, each.arn.region, each.arn.account)].append(each)
        refusing = self.recall.refusing(account) if recalls else {}
        for place in rows.keys() | refusing.keys():
            again = {*refusing.get(place, []), *(self._lately_proved(rows[place]) if recalls else ())}
            try:
                self._guard_place(place, rows[place], sorted(again), request_id, done)
            except Exception:
                self.logger.exception("place not guarded", extra={"account": place.account, "region": place.region})
                done.failed += 1
        return done

    def _guard_place(
        self, place: Place, rows: Sequence[Enforced], refusing: Sequence[InstanceArn], request_id: str, done: Pass
    ) -> None:
        done.watched += len(rows)
        targets = look(self.members, list({*(each.arn for each in rows), *refusing}))
        awake = {each.arn for each in rows if not is_dormant(each, targets[each.arn])}
        recalled = {arn for arn in refusing if arn not in awake and isinstance(targets[arn], Instance)}
        records = self._in_force(awake, recalled)
        policy = self.policies.current(self.now()).policy
        unseen = {arn: target for arn in records if isinstance(target := targets[arn], Unreachable)}
        done.left_broken += sum(records[arn].is_broken or records[arn].status == Status.ROLLING_BACK for arn in unseen)
        asked_back = [arn for arn, record in records.items() if record.is_to_go_back and arn not in unseen]
        lost = [arn for arn in records if arn not in asked_back and is_lost(records[arn], targets[arn], self.now())]
        self.departures.let_go(place, [records[arn] for arn in lost], targets, policy, request_id)
        left = [records[arn] for arn in records if arn not in lost and arn not in asked_back]
        judged = self.judging.judge(place, self._watch(left, targets, policy), recalled, policy)
        done.verified += judged.verified
        self.judging.tell_out_of_sight(records, unseen)
        returns = [*judged.broken, *(resumed(records[arn], targets[arn]) for arn in asked_back)]
        done.add_answer(self.response.put_back(returns, policy, request_id))

    def _lately_proved(self, rows: Iterable[Enforced]) -> list[InstanceArn]:
        """What was verified within the last hours: CloudWatch may have been late with the end of its watch."""
        policy, now = self.policies.current(self.now()).policy, self.now()
        hours = max(policy.watch_hours, policy.canary.hours if policy.canary else 0)
        oldest = now - timedelta(hours=hours) - _MAY_ARRIVE
        return [each.arn for each in rows if each.status == Status.VERIFIED and each.enforced_at >= oldest]

    def _in_force(
        self, awake: AbstractSet[InstanceArn], recalled: AbstractSet[InstanceArn]
    ) -> dict[InstanceArn, Record]:
        """The records that are under watch or recalled, and that no other invocation holds a lease on."""
        records = self.ledger.read(sorted(awake | recalled))
        return {
            arn: record
            for arn, record in records.items()
            if (record.is_watched or (arn in recalled and record.stands)) and not record.is_leased(self.now())
        }

    def _watch(
        self, records: Iterable[Record], targets: Mapping[InstanceArn, Target], policy: Policy
    ) -> dict[InstanceArn, Watched]:
        """The watches of the instances that EC2 shows. Records new starts, and canaries that stopped."""
        under_watch: dict[InstanceArn, Watched] = {}
        notes: list[Change] = []
        for record in records:
            instance = targets[record.arn]
            if not isinstance(instance, Instance):
                continue
            noted = noticed(record, instance)
            if noted != record:
                note = Change(before=record, after=noted)
                notes.append(note)
                noted = note.applied()
            under_watch[record.arn] = watched(noted, instance, policy, self.now())
        overtaken = self.ledger.write(notes, self.now())
        return {arn: each for arn, each in under_watch.items() if arn not in overtaken}


def _is_first_of_the_hour(account: Account, now: datetime) -> bool:
    """Whether the previous pass was in an earlier hour."""
    before = account.guarded_at
    return before is None or f"{before:%Y-%m-%d %H}" != f"{now:%Y-%m-%d %H}"
