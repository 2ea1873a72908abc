"""Changes sources: looks at an account and Region once, and makes each source that may be changed require tokens, through the gates and
the ledger. Also takes it back."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.account import Reservation
from imdsv2.domain.source_fix import TELL, UNDER_WAY, FixStatus
from imdsv2.errors import LedgerContended
from imdsv2.fix.left import left_to_people
from imdsv2.fix.survey import survey
from imdsv2.source.fixing import pointers_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Place
    from imdsv2.domain.source_fix import SourceFix
    from imdsv2.fix.change import Changing
    from imdsv2.fix.gates import Shut, SourceGates
    from imdsv2.fix.survey import Seen
    from imdsv2.fix.tell import FixTeller
    from imdsv2.ledger.sources import SourceFixes
    from imdsv2.ledger.table import Ledger

WOULD_FIX = "would_fix"
_JUDGED_FOR = timedelta(hours=6)
"""How long the verdict on a source holds for a change that was interrupted: instances call, and people object, meanwhile."""
_SHARED = "It shares a launch template with a source that was changed just now. Ask again for it; the next sweep looks again as well."
_BUSY = "Somebody is changing it right now; ask again in a few minutes."
_OVERTAKEN = "Somebody else was quicker; ask again."
_FAILED = "The guard brings to its end within minutes what was begun; ask again for it then. The next sweep looks again as well."
_OWED = (
    "What became of it before has yet to be told or counted, which the guard does within minutes. Ask again after that."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a source. ``status``: of `FixStatus`, `would_fix`, `held`, or None if the service does not change it;
    ``reason``: the gate that is closed; ``why``: what happened, or what a person can do."""

    key: str
    status: str | None
    why: str
    reason: str | None = None
    fix: SourceFix | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixing:
    """Changes sources, and takes that back. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    fixes: SourceFixes
    gates: SourceGates
    changing: Changing
    teller: FixTeller
    lease: timedelta
    now: Callable[[], datetime]
    logger: Logger

    def sweep(self, place: Place, request_id: str) -> Counter[str]:
        """Change what may be changed in an account and Region. How many sources ended how. Never raises what AWS answers: the next
        sweep looks again."""
        counts: Counter[str] = Counter()
        try:
            for _, ended in self.fix_all(
                survey(self.clients, self.ledger, self.fixes, place), None, request_id, dry_run=False
            ):
                if ended.status is not None:
                    counts[ended.status] += 1
                if not self.clients.has_time():
                    self.logger.warning(
                        "no time for more sources; the next sweep looks again", extra={"region": place.region}
                    )
                    break
        except (*CALL_FAILURES, LedgerContended) as error:
            problem = {"account": place.account, "region": place.region, "problem": describe_error(error)}
            self.logger.warning("sources not looked at; the next sweep does it", extra=problem)
            counts["unseen"] += 1
        return counts

    def fix_all(
        self, several: Iterable[Seen], caller: str | None, request_id: str, *, because: str | None = None, dry_run: bool
    ) -> Iterator[tuple[Seen, Ended]]:
        """`fix` for sources of one account and Region that were looked at together. What shares a launch template with one that was
        changed since waits for the next look."""
        touched: set[str] = set()
        for seen in several:
            templates = {each.template for each in steps_of(seen.source)}
            if touched & templates and seen.hindrance is None:
                yield seen, Ended(key=seen.key, status="held", why=_SHARED, reason="not_ready")
                continue
            ended = self._fix_alone(seen, caller, request_id, because=because, dry_run=dry_run)
            if not dry_run:
                touched |= (ended.fix.made.keys() if ended.fix is not None else templates) & templates
            yield seen, ended

    def _fix_alone(
        self, seen: Seen, caller: str | None, request_id: str, *, because: str | None, dry_run: bool
    ) -> Ended:
        """`fix`, of which a failure stops no other source, nor keeps from being told what became of it."""
        try:
            return self.fix(seen, caller, request_id, because=because, dry_run=dry_run)
        except (*CALL_FAILURES, LedgerContended) as error:
            self.logger.warning("source not fixed", extra={"source": seen.key, "problem": describe_error(error)})
            why = f"It failed on the way ({describe_error(error)}). {_FAILED}"
            return Ended(key=seen.key, status="held", why=why, reason="not_ready")

    def fix(
        self, seen: Seen, caller: str | None, request_id: str, *, because: str | None = None, dry_run: bool
    ) -> Ended:
        """Make one source require tokens. ``caller``: the person who asks for it, whose order is an approval, ``because``: why; a dry run
        changes and writes nothing. Raises what the ledger raises."""
        known, now = self.fixes.read(seen.key), self.now()
        if known.status in UNDER_WAY:
            return self._go_on(known, request_id, dry_run=dry_run)
        if seen.hindrance is not None:
            return Ended(key=seen.key, status=known.status if known.stands else None, why=seen.hindrance, fix=known)
        if caller is None and (why := left_to_people(seen, known, now)) is not None:
            return Ended(key=seen.key, status=known.status, why=why, fix=known)
        if known.owes and not dry_run:
            # Another attempt would take its place, and be told instead.
            return Ended(key=seen.key, status=known.status, why=_OWED, fix=known)
        wanted = replace(self._wanted(seen, known, caller, request_id), because=because)
        shut = self.gates.ask(wanted, seen.concerned, seen.records)
        if dry_run:
            if shut is not None and not shut.would:
                return _held(wanted, shut)
            return Ended(key=seen.key, status=WOULD_FIX, why=_plan(wanted), fix=wanted)
        if shut is not None:
            return self._announced(wanted, shut)
        reservation = self.gates.room(wanted.place)
        if not isinstance(reservation, Reservation):
            return _held(wanted, reservation)
        begun = self.fixes.save(wanted.moved(FixStatus.FIXING, now, _plan(wanted), lease_until=now + self.lease))
        if begun is None:
            self._settle_room(wanted, reservation, changed=False)
            return Ended(key=seen.key, status=known.status, why=_OVERTAKEN, fix=known)
        ended = self._forward(begun)
        self._settle_room(wanted, reservation, changed=bool(ended.made))
        return _ended(ended)

    def _settle_room(self, fix: SourceFix, reservation: Reservation, *, changed: bool) -> None:
        """Count the change, or give the room back. If that fails, what was done stands, and some room is free again in an hour."""
        try:
            self.gates.settle(fix.place, reservation, changed=changed)
        except (*CALL_FAILURES, LedgerContended) as error:
            told = {"source": fix.key, "problem": describe_error(error)}
            self.logger.warning("room under the cap not given back; it is free again in an hour", extra=told)

    def undo(self, fix: SourceFix, caller: str | None, request_id: str, why: str, because: str | None = None) -> Ended:
        """Put a source back at a person's request; ``because``: the reason that they gave. Raises what the ledger raises."""
        if fix.is_leased(self.now()):
            return Ended(key=fix.key, status=fix.status, why=_BUSY, fix=fix)
        undone = replace(fix, undone_by=f"{caller or 'Somebody'}, request {request_id}", because=because)
        return self.take_back(undone, request_id, why)

    def take_back(self, fix: SourceFix, request_id: str, why: str) -> Ended:
        """Put back what is still as the service left it. No gate binds it."""
        now = self.now()
        begun = self.fixes.save(
            replace(fix, request_id=request_id).moved(FixStatus.GOING_BACK, now, why, lease_until=now + self.lease)
        )
        if begun is None:
            return Ended(key=fix.key, status=fix.status, why=_OVERTAKEN, fix=fix)
        return _ended(self.teller.tell(self.changing.back(begun)))

    def go_on(self, fix: SourceFix, request_id: str) -> Ended:
        """Go on with what was begun and is not known to be done, once its lease has ended."""
        return self._go_on(fix, request_id, dry_run=False)

    def _go_on(self, fix: SourceFix, request_id: str, *, dry_run: bool) -> Ended:
        if dry_run or fix.is_leased(self.now()):
            return Ended(key=fix.key, status=fix.status, why=_BUSY, fix=fix)
        taken = self.fixes.save(replace(fix, request_id=request_id, lease_until=self.now() + self.lease))
        if taken is None:
            return Ended(key=fix.key, status=fix.status, why=_OVERTAKEN, fix=fix)
        if taken.status is FixStatus.GOING_BACK:
            return _ended(self.teller.tell(self.changing.back(taken)))
        return _ended(self._forward(taken, is_taken_over=True))

    def _forward(self, fix: SourceFix, *, is_taken_over: bool = False) -> SourceFix:
        ended = self.changing.forward(fix, lambda: self._shut(fix), is_taken_over=is_taken_over)
        if ended.status is FixStatus.GOING_BACK:
            ended = self.changing.back(ended)
        return self.teller.tell(ended)

    def _shut(self, fix: SourceFix) -> str | None:
        """Why nothing more of it may be made or pointed to; None if it may."""
        if fix.at is not None and self.now() - fix.at >= _JUDGED_FOR:
            place = fix.place
            return (
                "The change was interrupted, and its instances were judged more than six hours ago: that is too old to act on. To have it "
                f"judged anew: imdsv2 sources --fix --account {place.account} --in-region {place.region}"
            )
        shut = self.gates.ask_again(fix)
        return shut.why if shut is not None else None

    def _wanted(self, seen: Seen, known: SourceFix, caller: str | None, request_id: str) -> SourceFix:
        """The item of a new attempt, before it begins."""
        policy = self.gates.policies.current(self.now()).policy
        source, steps = seen.source, steps_of(seen.source)
        return replace(
            known,
            attempt=str(uuid.uuid4()),
            group=source.group.name if source.group else "",
            pointers=pointers_of(source.group, steps),
            steps=steps,
            cohorts=seen.cohorts(policy.cohort_tag),
            owner=seen.owner(policy),
            caller=caller,
            request_id=request_id,
            fixed_at=None,
            broken_by=None,
            broken_at=None,
            undone_by=None,
            hindered_by="",
            owes=frozenset(),
        )

    def _announced(self, wanted: SourceFix, shut: Shut) -> Ended:
        """A gate is closed. If it is the notice, it begins when it is delivered."""
        if shut.notice:
            policy = self.gates.policies.current(self.now()).policy
            told = replace(wanted, owes=frozenset({TELL})).moved(FixStatus.ANNOUNCED, self.now(), shut.why)
            self.teller.announce(told, policy.notice_hours)
        return _held(wanted, shut)


def _held(fix: SourceFix, shut: Shut) -> Ended:
    return Ended(key=fix.key, status=WOULD_FIX if shut.would else "held", why=shut.why, reason=shut.reason, fix=fix)


def _ended(fix: SourceFix) -> Ended:
    return Ended(key=fix.key, status=fix.status, why=fix.explanation, fix=fix)


def _plan(fix: SourceFix) -> str:
    """What is about to be changed, in words."""
    made = [
        f"a version of launch template {each.name} is made from version {each.base} with HttpTokens=required"
        for each in fix.steps
    ]
    made += [
        f"it becomes the default of {each.name} in place of version {each.default}"
        for each in fix.steps
        if each.moves_default
    ]
    pinned = [each.version for each in fix.pointers if each.pinned]
    made += (
        [f"the Auto Scaling group {fix.group} is pointed to it in place of version {', '.join(pinned)}"]
        if pinned
        else []
    )
    return f"{_capital('; '.join(made))}. Nothing else changes, and no running instance is replaced."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
