"""The guard: watches enforced instances until they are proved healthy, and rolls back those that break.

Each account and Region is a `place`, looked after in two parts: first what is urgent, then what may take its time. The second part
of one never delays the first part of another. Gates and caps do not apply.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

from imdsv2.domain.instance import Place
from imdsv2.domain.lifecycle import Status
from imdsv2.guard.listing import Listing, may_be_unlisted
from imdsv2.guard.place import Pass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.guard.place import Places
    from imdsv2.guard.recall import Recall
    from imdsv2.guard.sources import SourceWatch
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.change import Enforced
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.table import Ledger

_PLACES_AT_ONCE = 8
_BETWEEN_PASSES = timedelta(minutes=4)
"""An account that another pass has just looked after is left to it."""
_MAY_ARRIVE = timedelta(hours=12)
"""How long after the end of a watch refused calls of it are still looked for."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """An account that a pass has claimed, as it was before, and when."""

    account: Account
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Guards every account that has enforcements. ``now``: the clock."""

    ledger: Ledger
    accounts: Accounts
    policies: PolicySource
    recall: Recall
    places: Places
    sources: SourceWatch
    now: Callable[[], datetime]
    logger: Logger

    def run(self, request_id: str, has_time: Callable[[], bool]) -> Pass:
        """One pass over the accounts, until time runs out. A failure does not stop the others; it is counted."""
        lock = Lock()
        begun: list[Future[None]] = []
        ended: list[_Claim] = []
        begun_at, accounts = self.now(), self.accounts.all()
        due = [each for each in accounts if each.guarded_at is None or self.now() - each.guarded_at >= _BETWEEN_PASSES]
        result = Pass(accounts_left=len(accounts) - len(due))

        def add(done: Pass) -> None:
            with lock:
                result.add(done)

        def finish(laters: Iterable[Callable[[], Pass]]) -> None:
            for later in laters:
                if has_time():
                    add(later())

        def look_after(account: Account) -> None:
            if has_time():
                done, laters, claim = self._look_after(account, request_id)
                add(done)
                ended.extend(claim)
                begun.append(second.submit(finish, laters))

        with ThreadPoolExecutor(_PLACES_AT_ONCE) as second:
            with ThreadPoolExecutor(_PLACES_AT_ONCE) as first:
                for _ in first.map(look_after, due):
                    pass
            for each in begun:
                each.result()
        paused = {each.key for each in due if may_be_unlisted(each.seen_until, begun_at)}
        result.add(self.sources.run(request_id, has_time, paused))
        self._note_looked(ended)
        result.failed += self.places.writer.count_unwritten()
        accounts = self.accounts.all()
        result.breakers_open = sum(each.breaker_opened_at is not None for each in accounts)
        for account in accounts:
            self._tell_breaker(account)
        return result

    def _tell_breaker(self, account: Account) -> None:
        try:
            self.places.response.tell_breaker(account)
        except Exception:
            self.logger.exception("breaker not told; the next pass does it", extra={"account": account.key})

    def _look_after(self, account: Account, request_id: str) -> tuple[Pass, list[Callable[[], Pass]], list[_Claim]]:
        """The first part for all places of an account, if no other pass has claimed it; and what is to follow. If anything failed,
        the claim is given back: it must not keep the next pass from trying again, nor from recalling again. The claim that has come to its
        end, if this pass looks back."""
        now = self.now()
        looks_back = _is_first_of_the_hour(account, now) or may_be_unlisted(account.seen_until, now)
        try:
            if not self.accounts.claim(account, now, looks_back=looks_back):
                return Pass(), [], []
            done, laters, is_complete = self._guard_account(account, request_id, now)
        except Exception:
            self.logger.exception("account not guarded", extra={"account": account.key})
            done, laters, is_complete = Pass(failed=1), [], False
        if not is_complete:
            self._release(account, now)
        return done, laters, [_Claim(account, now)] if is_complete and looks_back else []

    def _note_looked(self, claims: Iterable[_Claim]) -> None:
        for each in claims:
            try:
                self.accounts.looked(each.account, each.at)
            except Exception:
                self.logger.exception("the next pass looks back as far", extra={"account": each.account.key})

    def _release(self, account: Account, claimed_at: datetime) -> None:
        try:
            self.accounts.release(account, claimed_at)
        except Exception:
            self.logger.exception("claim not given back", extra={"account": account.key})

    def _guard_account(
        self, account: Account, request_id: str, now: datetime
    ) -> tuple[Pass, list[Callable[[], Pass]], bool]:
        done, laters = Pass(), []
        rows: dict[Place, list[Enforced]] = defaultdict(list)
        for each in self.ledger.indexes.watched(account.key):
            rows[Place.of(each.arn)].append(each)
        recalls = _is_first_of_the_hour(account, now)
        watched = [place for place, several in rows.items() if not all(each.awaits_start for each in several)]
        lately = not may_be_unlisted(account.seen_until, now)
        recalled = self.recall.refusing(account, watched, recalls=recalls, lately=lately)
        done.failed += recalled.failed
        is_complete = not recalled.failed and not recalled.to_repeat
        for place in rows.keys() | recalled.arns.keys():
            again = {*recalled.arns.get(place, []), *(self._lately_proved(rows[place]) if recalls else ())}
            listing = Listing(named=recalled.named.get(place), previous=account.seen_until)
            try:
                first = self.places.look_after(place, rows[place], sorted(again), listing, request_id)
            except Exception:
                self.logger.exception("place not guarded", extra={"account": place.account, "region": place.region})
                done.failed += 1
                is_complete = False
                continue
            done.add(first.done)
            laters.append(first.later)
            is_complete = is_complete and first.is_complete
        return done, laters, is_complete

    def _lately_proved(self, rows: Iterable[Enforced]) -> list[InstanceArn]:
        """What was verified within the last hours: CloudWatch may have been late with the end of its watch."""
        policy, now = self.policies.current(self.now()).policy, self.now()
        hours = max(policy.watch_hours, policy.canary.hours if policy.canary else 0)
        oldest = now - timedelta(hours=hours) - _MAY_ARRIVE
        return [each.arn for each in rows if each.status == Status.VERIFIED and each.enforced_at >= oldest]


def _is_first_of_the_hour(account: Account, now: datetime) -> bool:
    """Whether the previous pass that came to its end was in an earlier hour."""
    before = account.seen_until
    return before is None or f"{before:%Y-%m-%d %H}" != f"{now:%Y-%m-%d %H}"
