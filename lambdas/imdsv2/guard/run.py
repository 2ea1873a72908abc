"""The guard: looks after what was enforced, until it has proved healthy, and puts back what breaks.

For each account and Region: EC2 (is it as we left it, has it started since) -> CloudWatch (refused calls, life) -> health
-> ledger (`verified`), or rollback, cohort, breaker, and people. Gates and caps do not bind it.

What has proved healthy is recalled if it breaks later: every hour CloudWatch is asked which instances refuse calls.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from imdsv2.aws.cloudwatch import REJECTED_CALLS, instances_with_news
from imdsv2.aws.ec2 import describe, unreachable
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain import health as watch
from imdsv2.domain.account import A_DAY
from imdsv2.domain.cohort import Cohort
from imdsv2.domain.decision import is_settling
from imdsv2.domain.health import LATE, LONGEST_LIFE, Health, Signs
from imdsv2.domain.instance import Instance, InstanceArn, Place, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Mode, RollbackMode
from imdsv2.domain.request import Source
from imdsv2.guard.rollback import End, Return, obstacle
from imdsv2.guard.signs import Begin, gather_signs
from imdsv2.ledger.table import OPEN, OVER, Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import Target
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.rollback import Returned, Rollback
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.cohort import Cohorts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.table import Enforced, Entry, Ledger
    from imdsv2.line.tell import Teller

_PLACES_AT_ONCE = 8
_BETWEEN_PASSES = timedelta(minutes=4)
"""An account that another pass has just looked after is left to it."""
_BETWEEN_ATTEMPTS = timedelta(hours=1)
"""What EC2 refused to put back is tried again: the refusal may be lifted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One instance under watch: its ledger entry, what EC2 shows, since when it has to live, and refused calls count."""

    entry: Entry
    instance: Instance
    since: datetime
    counted_from: datetime
    hours: int

    @property
    def running_since(self) -> datetime | None:
        return self.instance.launched_at if self.instance.state == "running" else None


@dataclass(kw_only=True)
class Pass:
    """What a pass of the guard came to."""

    watched: int = 0
    verified: int = 0
    rolled_back: int = 0
    left_broken: int = 0
    breakers_open: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Looks after every account in which something was enforced. ``now``: the clock."""

    members: Members
    ledger: Ledger
    accounts: Accounts
    cohorts: Cohorts
    policies: PolicySource
    rollback: Rollback
    teller: Teller
    now: Callable[[], datetime]
    logger: Logger

    def run(self, request_id: str, has_time: Callable[[], bool]) -> Pass:
        """One pass over the accounts, for as long as there is time. One that fails stops no other, and is counted."""
        result, lock = Pass(), Lock()

        def look_after(account: Account) -> None:
            if not has_time() or not self.accounts.claim(account, self.now()):
                return
            done = self._guard_account(account, request_id, recalls=_is_first_of_the_hour(account, self.now()))
            with lock:
                result.watched += done.watched
                result.verified += done.verified
                result.rolled_back += done.rolled_back
                result.left_broken += done.left_broken
                result.failed += done.failed

        accounts = self.accounts.all()
        due = [each for each in accounts if each.guarded_at is None or self.now() - each.guarded_at >= _BETWEEN_PASSES]
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            for _ in pool.map(look_after, due):
                pass
        result.breakers_open = sum(each.breaker_opened_at is not None for each in self.accounts.all())
        return result

    def _guard_account(self, account: Account, request_id: str, *, recalls: bool) -> Pass:
        done = Pass()
        watched: dict[Place, list[Enforced]] = defaultdict(list)
        for each in self.ledger.watched(account.key):
            watched[Place(each.arn.partition, each.arn.region, each.arn.account)].append(each)
        refusing = self._refusing(account) if recalls else {}
        for place in watched.keys() | refusing.keys():
            try:
                self._guard_place(place, watched[place], refusing.get(place, []), request_id, done)
            except Exception:
                self.logger.exception("place not guarded", extra={"account": place.account, "region": place.region})
                done.failed += 1
        return done

    def _refusing(self, account: Account) -> dict[Place, list[InstanceArn]]:
        """Instances of an account that were enforced, and that have refused calls of late: for as long as the window
        that was looked back at, because what happens once in a window has happened by then."""
        now = self.now()
        oldest = now - timedelta(days=self.policies.current(now).policy.lookback_days)
        partition, _, number = account.key.partition("/")
        refusing: dict[Place, list[InstanceArn]] = {}
        lately = [region for region, when in account.last_enforced.items() if when >= oldest]
        for place in (Place(partition, region, number) for region in lately):
            try:
                named = instances_with_news(self.members.cloudwatch(place), REJECTED_CALLS)
            except CALL_FAILURES as error:
                self.logger.warning(
                    "not known which instances refuse calls",
                    extra={"account": place.account, "region": place.region, "problem": describe_error(error)},
                )
                continue
            entries = self.ledger.read(InstanceArn(partition, place.region, number, each) for each in sorted(named))
            refusing[place] = [arn for arn, entry in entries.items() if _stands(entry) and _since(entry, oldest)]
        return refusing

    def _guard_place(
        self, place: Place, rows: Sequence[Enforced], refusing: Sequence[InstanceArn], request_id: str, done: Pass
    ) -> None:
        done.watched += len(rows)
        targets = self.look(place, list({*(each.arn for each in rows), *refusing}))
        awake = {each.arn for each in rows if not _is_dormant(each, targets[each.arn])}
        recalled = {arn for arn in refusing if arn not in awake and _requires_tokens(targets[arn])}
        entries = self._in_force(awake, recalled)
        policy = self.policies.current(self.now()).policy
        asked_back = [
            arn for arn, entry in entries.items() if _is_to_go_back(entry) and not isinstance(targets[arn], Unreachable)
        ]
        done.left_broken += sum(
            entry.is_broken or entry.status == Status.ROLLING_BACK
            for arn, entry in entries.items()
            if isinstance(targets[arn], Unreachable)
        )
        lost = [arn for arn in entries if arn not in asked_back and _is_lost(entries[arn], targets[arn], self.now())]
        self._let_go([entries[arn] for arn in lost])
        watched = self._watch(
            [entries[arn] for arn in entries if arn not in lost and arn not in asked_back], targets, policy
        )
        signs = self._signs(place, watched)
        health = {arn: self._health(each, signs[arn], policy) for arn, each in watched.items()}
        # Of those whose watch is over, or has yet to begin anew, nothing is to be learnt but that they break.
        watched = {arn: each for arn, each in watched.items() if arn not in recalled or health[arn] is Health.BROKEN}
        broken = [_return(each, signs[arn]) for arn, each in watched.items() if health[arn] is Health.BROKEN]
        broken += [_resumed(entries[arn], targets[arn]) for arn in asked_back]
        self._settle(watched, health, signs, policy, done)
        self._tell_unproven(
            [
                (each.entry, "its life could not be proved")
                for arn, each in watched.items()
                if health[arn] is Health.UNPROVEN
            ]
            + [(entry, entry_target.problem) for entry, entry_target in self._out_of_sight(entries, targets)]
        )
        self.put_back(broken, policy, request_id, done)

    def _in_force(
        self, awake: AbstractSet[InstanceArn], recalled: AbstractSet[InstanceArn]
    ) -> dict[InstanceArn, Entry]:
        """The ledger's items of those that are watched, or are to be again, and that nobody else is working on."""
        entries = self.ledger.read(sorted(awake | recalled))
        return {
            arn: entry
            for arn, entry in entries.items()
            if (entry.is_watched or (arn in recalled and _stands(entry))) and not entry.is_leased(self.now())
        }

    def put_back(self, broken: Sequence[Return], policy: Policy, request_id: str, done: Pass) -> None:
        """Answer breakage: hold the cohort, roll back (or leave, and say why), count towards the breaker, tell."""
        self._hold_cohorts([each for each in broken if each.broken])
        alerted = [each for each in broken if _is_only_told(each, policy)]
        due = [each for each in broken if each not in alerted and self._may_try(each)]
        ended = self.rollback.run(due, request_id)
        returned = [each for each in ended if each.end is End.ROLLED_BACK]
        left = [(each.entry, each.asked, str(each.problem)) for each in ended if each.end is End.LEFT]
        left += [(each.entry, each, _ONLY_ALERT) for each in alerted]
        self._leave(left)
        done.rolled_back += len(returned)
        done.left_broken += sum(asked.broken for _, asked, _ in left) + len(broken) - len(due) - len(alerted)
        self._count(returned)
        self._tell([each.asked.arn for each in returned] + [entry.arn for entry, _, _ in left])

    def _hold_cohorts(self, broken: Iterable[Return]) -> None:
        """One that breaks holds all that run the same software."""
        for each in broken:
            cohort = each.entry.attributes.get("cohort")
            if cohort and not each.entry.is_broken:
                self.cohorts.change(cohort, _broken_by(each.arn, self.now()))

    def look(self, place: Place, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Target]:
        """Instances of a place as EC2 shows them; what cannot be read is Unreachable, never an exception."""
        try:
            ec2 = self.members.ec2(place, "read")
        except CALL_FAILURES as error:
            return {arn: unreachable(arn, error) for arn in arns}
        return describe(ec2, arns)

    def _let_go(self, entries: Iterable[Entry]) -> None:
        """What has gone, or was changed back by somebody, is no longer ours to watch: it is judged anew at once."""
        changes = [
            Change(entry=entry, attributes={"watch": OVER, "canary_lost": True, "revisit_at": self.now()})
            for entry in entries
        ]
        self.ledger.write(changes, self.now())

    def _watch(
        self, entries: Iterable[Entry], targets: Mapping[InstanceArn, Target], policy: Policy
    ) -> dict[InstanceArn, Watched]:
        """Those that EC2 shows; a start that nobody had noticed is noted, and one that stopped is no canary any more."""
        watched: dict[InstanceArn, Watched] = {}
        notes: dict[InstanceArn, Change] = {}
        for entry in entries:
            instance = targets[entry.arn]
            if not isinstance(instance, Instance):
                continue
            news = _news(entry, instance)
            if news:
                notes[entry.arn] = Change(entry=entry, attributes=news)
            noted = notes[entry.arn].applied() if news else entry
            watched[entry.arn] = _watched(noted, instance, policy, self.now())
        overtaken = self.ledger.write(list(notes.values()), self.now())
        return {arn: each for arn, each in watched.items() if arn not in overtaken}

    def _signs(self, place: Place, watched: Mapping[InstanceArn, Watched]) -> dict[InstanceArn, Signs]:
        if not watched:
            return {}
        begins = {arn: Begin(watch=each.since, count=each.counted_from) for arn, each in watched.items()}
        now = self.now()
        ripe = {arn for arn, each in watched.items() if now - each.since >= timedelta(hours=each.hours)}
        return gather_signs(self.members.cloudwatch(place), begins, ripe, now)

    def _health(self, each: Watched, signs: Signs, policy: Policy) -> Health:
        return watch.judge(
            signs,
            since=each.since,
            hours=each.hours,
            running_since=each.running_since,
            threshold=policy.rejected_threshold,
            min_coverage=policy.min_coverage,
            now=self.now(),
        )

    def _settle(
        self,
        watched: Mapping[InstanceArn, Watched],
        health: Mapping[InstanceArn, Health],
        signs: Mapping[InstanceArn, Signs],
        policy: Policy,
        done: Pass,
    ) -> None:
        """Record what has proved healthy: a canary once it has been clean for its hours, any instance after its watch."""
        now, changes = self.now(), {}
        for arn, each in watched.items():
            if health[arn] is not Health.CLEAN:
                continue
            attributes: dict[str, Any] = {}
            if each.entry.attributes.get("canary") and each.entry.time("clean_at") is None:
                attributes["clean_at"] = now
            if self._health(replace(each, hours=policy.watch_hours), signs[arn], policy) is Health.CLEAN:
                attributes |= _verified(each, signs[arn], timedelta(days=policy.lookback_days), now)
            if attributes:
                changes[arn] = Change(entry=each.entry, attributes=attributes)
        overtaken = self.ledger.write(list(changes.values()), now)
        newly = [
            arn
            for arn, change in changes.items()
            if arn not in overtaken and change.attributes.get("status") is Status.VERIFIED
        ]
        done.verified += len(newly)
        self._tell(newly)

    def _out_of_sight(
        self, entries: Mapping[InstanceArn, Entry], targets: Mapping[InstanceArn, Target]
    ) -> list[tuple[Entry, Unreachable]]:
        """Those that nobody has been able to look at for as long as a watch may last; when that began is noted."""
        now = self.now()
        unseen = [
            (entry, target)
            for arn, entry in entries.items()
            if isinstance(target := targets[arn], Unreachable) and not target.throttled and not _is_to_go_back(entry)
        ]
        newly = [entry for entry, _ in unseen if entry.time("unseen_since") is None]
        self.ledger.write([Change(entry=entry, attributes={"unseen_since": now}) for entry in newly], now)
        return [each for each in unseen if now - (each[0].time("unseen_since") or now) >= LONGEST_LIFE]

    def _tell_unproven(self, unproven: Sequence[tuple[Entry, str]]) -> None:
        now = self.now()
        changes = [
            Change(
                entry=entry,
                attributes={
                    "watch": OVER,
                    "canary_lost": True,
                    "left_because": "unproven",
                    "explanation": f"Tokens are required, and after seven days nobody can say that nothing broke: {why}. See for yourself; "
                    "the service watches it no longer.",
                    "changed_at": now,
                },
            )
            for entry, why in unproven
        ]
        overtaken = self.ledger.write(changes, now)
        self._tell([entry.arn for entry, _ in unproven if entry.arn not in overtaken])

    def _may_try(self, each: Return) -> bool:
        """Whether to try to put it back now: not again and again where EC2 has just refused."""
        refused_at = each.entry.time("left_at")
        if not each.broken or refused_at is None or each.entry.attributes.get("left_because") is None:
            return True
        return obstacle(each.entry, each.target) is not None or self.now() - refused_at >= _BETWEEN_ATTEMPTS

    def _leave(self, left: Sequence[tuple[Entry, Return, str]]) -> None:
        """What is broken and stays as it is: said once, and again where the reason changes."""
        now, changes = self.now(), []
        for entry, asked, problem in left:
            explanation = f"{asked.why} It was not put back: {problem}"
            attributes: dict[str, Any] = {}
            if problem != _ONLY_ALERT and obstacle(asked.entry, asked.target) is None:
                attributes |= {"left_at": now, "explanation": explanation}  # It had been tried.
            if entry.attributes.get("left_because") != problem:
                attributes |= {"left_because": problem, "explanation": explanation, "changed_at": now}
            if asked.broken and not entry.is_broken:
                attributes |= {"broken_at": now, "watch": OPEN}
            if not asked.broken:
                attributes["undo"] = None
            if attributes:
                changes.append(Change(entry=entry, attributes=attributes))
        self.ledger.write(changes, now)

    def _count(self, returned: Sequence[Returned]) -> None:
        by_account: dict[str, list[Returned]] = defaultdict(list)
        for each in returned:
            if each.asked.broken:
                by_account[f"{each.asked.arn.partition}/{each.asked.arn.account}"].append(each)
        for account, several in by_account.items():
            now = self.now()
            enforced = len(self.ledger.enforced_since(account, now - A_DAY))
            known = self.accounts.count_rollbacks(account, len(several), enforced, now)
            if known.breaker_opened_at == now:
                self.logger.error("breaker opened", extra={"account": known.key})
                self.teller.breaker_opened(known)

    def _tell(self, arns: Iterable[InstanceArn]) -> None:
        workflow = self.policies.current(self.now()).policy.mode is not Mode.OBSERVE
        self.teller.tell(sorted(arns), self.now(), workflow=workflow)


def _is_first_of_the_hour(account: Account, now: datetime) -> bool:
    """Whether the pass before this one was in an earlier hour."""
    before = account.guarded_at
    return before is None or before.replace(minute=0, second=0, microsecond=0) != now.replace(
        minute=0, second=0, microsecond=0
    )


def _stands(entry: Entry) -> bool:
    """Whether we enforced it and, as far as the ledger knows, left it at that; watched or not."""
    return entry.status in {Status.ENFORCED, Status.VERIFIED}


def _since(entry: Entry, oldest: datetime) -> bool:
    enforced_at = entry.time("enforced_at")
    return enforced_at is not None and enforced_at >= oldest


def _requires_tokens(target: Target) -> bool:
    return isinstance(target, Instance) and target.options.http_tokens == "required"


def _broken_by(arn: InstanceArn, now: datetime) -> Callable[[Cohort], Cohort]:
    return lambda known: Cohort(key=known.key, version=known.version, broken_by=arn, broken_at=now)


_ONLY_ALERT = 'The policy says "rollback": "alert". Put it back by hand, or update its software.'


def _is_only_told(each: Return, policy: Policy) -> bool:
    """Whether people alone may put it back; a rollback that has begun is brought to its end."""
    return each.broken and policy.rollback is RollbackMode.ALERT and each.entry.status != Status.ROLLING_BACK


def _is_dormant(row: Enforced, target: Target) -> bool:
    """Verified, and not started since as far as can be seen: nothing to look at but its next start."""
    if row.status != Status.VERIFIED or row.restarted_at is not None or row.asked_back or row.broken:
        return False
    match target:
        case Instance():
            there = target.state in {"pending", "running", "stopping", "stopped"}
            return there and target.options.http_tokens == "required" and target.launched_at <= row.enforced_at
        case Unreachable():
            return True
    return False


def _is_to_go_back(entry: Entry) -> bool:
    """A rollback that was left behind, or one that a person asked for."""
    return entry.status == Status.ROLLING_BACK or entry.attributes.get("undo") is not None


def _is_lost(entry: Entry, target: Target, now: datetime) -> bool:
    """Whether it has gone, or somebody has changed it back. What EC2 has yet to apply is neither."""
    match target:
        case Instance():
            if target.state in {"terminated", "shutting-down"}:
                return True
            enforced_at = entry.time("enforced_at") or now
            return target.options.http_tokens != "required" and not is_settling(target, enforced_at, now)
        case Unreachable():
            return False
    return True


def _news(entry: Entry, instance: Instance) -> dict[str, Any]:
    news: dict[str, Any] = {}
    enforced_at = entry.time("enforced_at")
    if entry.time("restarted_at") is None and enforced_at is not None and instance.launched_at > enforced_at:
        news["restarted_at"] = instance.launched_at
    if instance.state != "running" and entry.attributes.get("canary") and entry.time("clean_at") is None:
        news |= {"canary_lost": True} if not entry.attributes.get("canary_lost") else {}
    if entry.time("unseen_since") is not None:
        news["unseen_since"] = None
    return news


def _watched(entry: Entry, instance: Instance, policy: Policy, now: datetime) -> Watched:
    restarted_at, enforced_at = entry.time("restarted_at"), entry.time("enforced_at")
    since = restarted_at if entry.status == Status.VERIFIED and restarted_at else enforced_at
    assert since is not None  # noqa: S101 - the index holds nothing that was not enforced
    cleared_at = entry.time("cleared_at") or since
    waits_for_cohort = policy.canary is not None and entry.attributes.get("canary") and entry.time("clean_at") is None
    hours = policy.canary.hours if policy.canary is not None and waits_for_cohort else policy.watch_hours
    return Watched(
        entry=entry,
        instance=instance,
        since=max(since, cleared_at),
        counted_from=max(_counted_from(entry, since, policy, now), cleared_at),
        hours=hours,
    )


def _counted_from(entry: Entry, since: datetime, policy: Policy, now: datetime) -> datetime:
    """From when on refused calls count: the beginning of the watch; once it was proved healthy, what came after that and
    lies no longer back than a watch is long. What is broken stays so."""
    verified_at = entry.time("verified_at")
    if verified_at is None:
        return since
    proved_until = verified_at - LATE
    if entry.is_broken:
        return proved_until
    lately = now - timedelta(hours=policy.watch_hours)
    is_watched_again = entry.is_watched and entry.time("restarted_at") is not None
    return max(proved_until, min(since, lately) if is_watched_again else lately)


def _verified(each: Watched, signs: Signs, lookback: timedelta, now: datetime) -> dict[str, Any]:
    if each.entry.status == Status.VERIFIED:
        return {"watch": OVER} if each.entry.time("restarted_at") else {}
    until = (each.entry.time("enforced_at") or now) + lookback
    why = (
        f"Tokens are required since {each.since:%Y-%m-%d %H:%M UTC}; no IMDSv1 call was rejected in {signs.alive_hours} hours in "
        f"which it ran. It is looked at every hour until {until:%Y-%m-%d}, and watched once more after its next start."
    )
    return {
        "status": Status.VERIFIED,
        "verified_at": now,
        "explanation": why,
        "source": Source.GUARD,
        "revisit_at": None,
        "changed_at": now,
        "left_because": None,
    }


def _return(each: Watched, signs: Signs) -> Return:
    count = "1 IMDSv1 call was" if signs.rejected_calls == 1 else f"{signs.rejected_calls} IMDSv1 calls were"
    last = f", the last at {signs.last_rejected_call:%Y-%m-%d %H:%M UTC}" if signs.last_rejected_call else ""
    why = f"{count} rejected since {each.counted_from:%Y-%m-%d %H:%M UTC}{last}: its software needs IMDSv1."
    return Return(entry=each.entry, target=each.instance, why=why, broken=True, source=Source.GUARD)


def _resumed(entry: Entry, target: Target) -> Return:
    undo = entry.attributes.get("undo")
    why = undo["why"] if undo else str(entry.attributes["explanation"])
    source = Source.MANUAL if undo else Source(str(entry.attributes["source"]))
    return Return(
        entry=entry,
        target=target,
        why=why,
        broken=undo is None and source is Source.GUARD,
        source=source,
        caller=undo["by"] if undo else entry.attributes.get("caller"),
    )
