"""Watches what sources launch since the service changed them: nobody enforced these instances, they were launched with tokens required. If
their software breaks, the source goes back, by the rule that holds for instances; also if it breaks long after the source was proved."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, instances_with_news
from imdsv2.aws.ec2 import instances_of
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.account import A_DAY
from imdsv2.domain.batches import batched
from imdsv2.domain.cohort import cohort_of
from imdsv2.domain.evidence.window import FINE
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.policy import RollbackMode
from imdsv2.domain.source_fix import COUNT, TELL, UNDER_WAY, FixStatus
from imdsv2.domain.source_health import Broken, broken_of, is_clean
from imdsv2.domain.texts.commands import command
from imdsv2.domain.texts.words import count
from imdsv2.errors import LedgerContended
from imdsv2.guard.place import Pass
from imdsv2.guard.signs import Begin, gather_signs
from imdsv2.ledger.change import Change
from imdsv2.ledger.items import account_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import Instance, Place
    from imdsv2.domain.policy import Policy
    from imdsv2.domain.source_fix import SourceFix
    from imdsv2.fix.run import Fixing
    from imdsv2.guard.response import Response
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record

    Look = Callable[[Place, Sequence[SourceFix], Pass, str], None]

_TEMPLATE_TAG, _VERSION_TAG = "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"
_TEMPLATES_A_CALL = 200
_READ_FOR = timedelta(hours=12)
"""So long after the end of a member's watch its metric is still read: CloudWatch may be late."""
_RECALLED_UNTIL = 10
"""Minutes past the hour in which CloudWatch is asked what refuses calls: two passes, of which one may fail. It lists three hours."""
_LATELY = timedelta(days=7)
"""Once a source is proved, what was refused longer ago counts no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceWatch:
    """Watches sources, and brings to its end what was left under way or owed. ``now``: the clock."""

    clients: MemberClients
    fixing: Fixing
    response: Response
    writer: Writer
    policies: PolicySource
    now: Callable[[], datetime]
    logger: Logger

    def run(self, request_id: str, has_time: Callable[[], bool], paused: Collection[str] = ()) -> Pass:
        """One pass over the sources that the service changed. What fails is counted, and stops nothing else. ``paused``: accounts (by
        their ledger keys) that nobody has guarded for longer than CloudWatch's list of the last hours reaches back."""
        done = Pass()
        try:
            fixes = self.fixing.fixes.all()
        except CALL_FAILURES as error:
            self.logger.warning("sources not read", extra={"problem": describe_error(error)})
            return Pass(failed=1)
        watched: dict[Place, list[SourceFix]] = defaultdict(list)
        proved: dict[Place, list[SourceFix]] = defaultdict(list)
        for number, fix in enumerate(fixes):
            if not has_time():
                return self._out_of_time(done, len(fixes) - number)
            known = self._guarded(done, fix, partial(self._settle, fix, request_id)) or fix
            if known.status is FixStatus.FIXED:
                watched[fix.place].append(known)
            elif known.status is FixStatus.VERIFIED and (
                self.now().minute < _RECALLED_UNTIL or account_key(fix.place) in paused
            ):
                proved[fix.place].append(known)
            done.left_broken += known.is_overdue(self.now())
            done.failed += known.is_stuck(self.now())
        looks: list[tuple[Look, Place, list[SourceFix]]] = [
            *((self._watch, place, several) for place, several in watched.items()),
            *((partial(self._recall, paused), place, several) for place, several in proved.items()),
        ]
        for number, (look, place, several) in enumerate(looks):
            if not has_time():
                return self._out_of_time(done, len(looks) - number)
            self._guarded(done, several[0], partial(look, place, several, done, request_id))
        return done

    def _out_of_time(self, done: Pass, left: int) -> Pass:
        """What is not looked at is not watched: it counts as failed, or nobody would hear of it."""
        self.logger.warning("no time for sources", extra={"left": left})
        done.failed += 1
        return done

    def _guarded(self, done: Pass, fix: SourceFix, act: Callable[[], SourceFix | None]) -> SourceFix | None:
        """What was done; None if it failed, which is counted."""
        try:
            return act()
        except (*CALL_FAILURES, LedgerContended) as error:
            done.failed += 1
            self.logger.warning("source not guarded", extra={"source": fix.key, "problem": describe_error(error)})
        except Exception:
            done.failed += 1
            self.logger.exception("source not guarded", extra={"source": fix.key})
        return None

    def _settle(self, fix: SourceFix, request_id: str) -> SourceFix:
        """Go on with what is under way, and do what is owed. The item as it is then."""
        if fix.status in UNDER_WAY and not fix.is_leased(self.now()):
            fix = self.fixing.go_on(fix, request_id).fix or fix
        if COUNT in fix.owes:
            fix = self._counted(fix)
        return self.fixing.teller.tell(fix) if TELL in fix.owes else fix

    def _watch(self, place: Place, fixes: Sequence[SourceFix], done: Pass, request_id: str) -> None:
        policy = self.policies.current(self.now()).policy
        launched = self._launched(place, fixes)
        watched = {
            each.arn: each
            for several in launched.values()
            for each in several
            if self.now() - each.launched_at < timedelta(hours=policy.watch_hours) + _READ_FOR
        }
        signs = self._signs(place, watched, policy) if watched else {}
        for fix in fixes:
            members = [each for each in launched[fix.key] if each.arn in signs]
            broken = broken_of(members, signs, policy, standing=len(members))
            if broken is not None:
                self._respond(fix, broken, policy, request_id, done)
            elif self._is_left(fix):
                done.left_broken += 1
            elif any(is_clean(each, signs[each.arn], policy, self.now()) for each in members):
                self._verified(fix, len(members), policy)

    def _recall(
        self, paused: Collection[str], place: Place, fixes: Sequence[SourceFix], done: Pass, request_id: str
    ) -> None:
        """What needs IMDSv1 once a month fails long after its source was proved. One request tells whether anything refuses calls."""
        lately = account_key(place) not in paused
        named = instances_with_news(self.clients.cloudwatch(place), REJECTED_CALLS, lately=lately)
        if not named:
            return
        policy, launched = self.policies.current(self.now()).policy, self._launched(place, fixes)
        refusing = {
            each.arn: each for several in launched.values() for each in several if each.arn.instance_id in named
        }
        signs = self._signs(place, refusing, policy, oldest=self.now() - _LATELY) if refusing else {}
        for fix in fixes:
            members = [each for each in launched[fix.key] if each.arn in signs]
            broken = broken_of(members, signs, policy, standing=len(launched[fix.key]), is_proved=True)
            if broken is not None:
                self._respond(fix, broken, policy, request_id, done)

    def _launched(self, place: Place, fixes: Iterable[SourceFix]) -> dict[str, list[Instance]]:
        """What was launched from the versions that the service made, by source."""
        made = {
            (template, str(number)): fix.key
            for fix in fixes
            for template, several in fix.made.items()
            for number in several
        }
        launched: dict[str, list[Instance]] = {fix.key: [] for fix in fixes}
        ec2 = self.clients.ec2(place, "read")
        for templates in batched(sorted({template for template, _ in made}), _TEMPLATES_A_CALL):
            for each in instances_of(ec2, place, f"tag:{_TEMPLATE_TAG}", templates):
                key = made.get((each.tags.get(_TEMPLATE_TAG, ""), each.tags.get(_VERSION_TAG, "")))
                if key is not None:
                    launched[key].append(each)
        return launched

    def _signs(
        self,
        place: Place,
        members: Mapping[InstanceArn, Instance],
        policy: Policy,
        *,
        oldest: datetime | None = None,
    ) -> dict[InstanceArn, Signs]:
        """The signs of members since their launch. ``oldest``: nothing before that counts, and whether they ran is not asked."""
        records = self.response.ledger.read(members)
        begins = {
            arn: Begin(watch=each.launched_at, count=max(_counted_from(each, records[arn]), oldest or each.launched_at))
            for arn, each in members.items()
        }
        watch = timedelta(hours=policy.watch_hours)
        ripe = {arn for arn, each in members.items() if oldest is None and self.now() - each.launched_at >= watch}
        return gather_signs(self.clients.cloudwatch(place), begins, ripe, self.now())

    def _respond(self, fix: SourceFix, broken: Broken, policy: Policy, request_id: str, done: Pass) -> None:
        """Hold the cohort, and take the source back, unless the policy says that people alone put it back. One that cannot be put
        back at once counts as left broken at the next pass."""
        now, arn = self.now(), broken.member.arn
        self._hold(broken.member, policy)
        why = (
            f"IMDSv1 calls of {arn.instance_id}, launched from the new version, were refused {broken.why}: its software broke. "
            f"Update it, and then: {command('clear', arn)}"
        )
        is_known = self._is_left(fix)
        known = replace(fix, broken_by=str(arn), broken_at=fix.broken_at if is_known else now)
        if policy.rollback is RollbackMode.ALERT:
            if not is_known:
                only = 'The policy says "rollback": "alert": nothing was put back. Put it back by undo.'
                alerted = replace(known, explanation=f"{why} {only}", owes=known.owes | {TELL, COUNT})
                self._settled(self.fixing.fixes.save(alerted))
            done.left_broken += 1
            return
        ended = self.fixing.take_back(replace(known, owes=known.owes | {COUNT}), request_id, why)
        if ended.status not in {FixStatus.GOING_BACK, FixStatus.GONE_BACK}:
            return  # Somebody else has written it meanwhile: the next pass looks again.
        done.rolled_back += ended.status is FixStatus.GONE_BACK
        self._settled(ended.fix)

    def _is_left(self, fix: SourceFix) -> bool:
        """Whether it is known as broken and stands all the same, and no person has cleared the instance that broke."""
        if fix.broken_by is None or fix.broken_at is None:
            return False
        arn = InstanceArn.parse(fix.broken_by)
        cleared_at = self.response.ledger.read([arn])[arn].cleared_at
        return cleared_at is None or cleared_at < fix.broken_at

    def _settled(self, fix: SourceFix | None) -> None:
        if fix is not None and COUNT in fix.owes:
            fix = self._counted(fix)
        if fix is not None and TELL in fix.owes:
            self.fixing.teller.tell(fix)

    def _counted(self, fix: SourceFix) -> SourceFix:
        """Count the source once towards the circuit breaker, however many of its instances broke."""
        now, account = self.now(), account_key(fix.place)
        accounts = self.response.accounts
        enforced = len(self.response.ledger.indexes.enforced_since(account, now - A_DAY))
        known = accounts.count_broken(account, {fix.key: fix.fixed_at or now}, enforced, now)
        self.response.tell_breaker(known)
        return self.fixing.fixes.save(replace(fix, owes=fix.owes - {COUNT})) or fix

    def _hold(self, member: Instance, policy: Policy) -> None:
        """What breaks holds all that runs the same software, and what its source launches next, until a person clears it."""
        key = cohort_of(member, tag=policy.cohort_tag)
        if key is None:
            return
        record = self.response.ledger.read([member.arn])[member.arn]
        known = Change(before=record, after=replace(record, broken_at=self.now(), cohort=key))
        if not record.is_broken:
            # By its own record a person clears it, and its cohort with it.
            self.writer.write([known])
        self.response.holds.hold([known.after], unexplained=False)

    def _verified(self, fix: SourceFix, members: int, policy: Policy) -> None:
        why = (
            f"{fix.explanation} Of {count(members, 'instance')} launched since, none was refused a call that is breakage, and at least "
            f"one of them has run clean for {count(policy.watch_hours, 'hour')}."
        )
        self.fixing.fixes.save(fix.moved(FixStatus.VERIFIED, self.now(), why))


def _counted_from(member: Instance, record: Record) -> datetime:
    """From when on refused calls of a member say something about its source: from its launch, or from when a person settled what
    came before."""
    said = [each for each in (record.cleared_at, record.mended_at) if each is not None]
    settled = [datetime.fromtimestamp(math.floor(each.timestamp() / FINE) * FINE, UTC) for each in said]
    return max([member.launched_at, *settled])
