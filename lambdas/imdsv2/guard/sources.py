"""Watches what sources launch since the service changed them: nobody enforced these instances, they were launched with tokens required. If
their software breaks, the source goes back, by the rule that holds for instances; also if it breaks long after the source was proved."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, instances_with_news
from imdsv2.aws.ec2 import instances_of
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.account import A_DAY
from imdsv2.domain.batches import batched
from imdsv2.domain.cohort import cohort_of, lineage_of
from imdsv2.domain.commands import command
from imdsv2.domain.policy import RollbackMode
from imdsv2.domain.source_fix import COUNT, TELL, UNDER_WAY, FixStatus
from imdsv2.domain.source_health import Broken, after, broken_of, is_clean
from imdsv2.domain.words import count
from imdsv2.errors import LedgerContended
from imdsv2.guard.place import Pass
from imdsv2.guard.signs import Begin, gather_signs
from imdsv2.ledger.change import Change
from imdsv2.ledger.items import account_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import Instance, InstanceArn, Place
    from imdsv2.domain.policy import Policy
    from imdsv2.domain.source_fix import SourceFix
    from imdsv2.fix.run import Fixing
    from imdsv2.guard.response import Response
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.policy import PolicySource

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

    members: Members
    fixing: Fixing
    response: Response
    writer: Writer
    policies: PolicySource
    now: Callable[[], datetime]
    logger: Logger

    def run(self, request_id: str, has_time: Callable[[], bool]) -> Pass:
        """One pass over the sources that the service changed. What fails is counted, and stops nothing else."""
        done = Pass()
        try:
            fixes = self.fixing.fixes.all()
        except CALL_FAILURES as error:
            self.logger.warning("sources not read", extra={"problem": describe_error(error)})
            return Pass(failed=1)
        watched: dict[Place, list[SourceFix]] = defaultdict(list)
        proved: dict[Place, list[SourceFix]] = defaultdict(list)
        for fix in fixes:
            if not has_time():
                break
            self._guarded(done, fix, partial(self._settle, fix, request_id))
            if fix.status is FixStatus.FIXED:
                watched[fix.place].append(fix)
            elif fix.status is FixStatus.VERIFIED and self.now().minute < _RECALLED_UNTIL:
                proved[fix.place].append(fix)
        for several_places, look in ((watched, self._watch), (proved, self._recall)):
            for place, several in several_places.items():
                if has_time():
                    self._guarded(done, several[0], partial(look, place, several, done, request_id))
        return done

    def _guarded(self, done: Pass, fix: SourceFix, act: Callable[[], None]) -> None:
        try:
            act()
        except (*CALL_FAILURES, LedgerContended) as error:
            done.failed += 1
            self.logger.warning("source not guarded", extra={"source": fix.key, "problem": describe_error(error)})
        except Exception:
            done.failed += 1
            self.logger.exception("source not guarded", extra={"source": fix.key})

    def _settle(self, fix: SourceFix, request_id: str) -> None:
        """Go on with what is under way, and do what is owed."""
        if fix.status in UNDER_WAY and not fix.is_leased(self.now()):
            fix = self.fixing.go_on(fix, request_id).fix or fix
        if COUNT in fix.owes:
            fix = self._counted(fix)
        if TELL in fix.owes:
            self.fixing.teller.tell(fix)

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
                self._answered(fix, broken, policy, request_id, done)
            elif any(is_clean(each, signs[each.arn], policy, self.now()) for each in members):
                self._verified(fix, len(members), policy)

    def _recall(self, place: Place, fixes: Sequence[SourceFix], done: Pass, request_id: str) -> None:
        """What needs IMDSv1 once a month fails long after its source was proved. One request tells whether anything refuses calls."""
        named = instances_with_news(self.members.cloudwatch(place), REJECTED_CALLS)
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
                self._answered(fix, broken, policy, request_id, done)

    def _answered(self, fix: SourceFix, broken: Broken, policy: Policy, request_id: str, done: Pass) -> None:
        left = self._respond(fix, broken, policy, request_id)
        done.left_broken += left
        done.rolled_back += 1 - left

    def _launched(self, place: Place, fixes: Iterable[SourceFix]) -> dict[str, list[Instance]]:
        """What was launched from the versions that the service made, by source."""
        made = {
            (template, str(number)): fix.key
            for fix in fixes
            for template, several in fix.made.items()
            for number in several
        }
        launched: dict[str, list[Instance]] = {fix.key: [] for fix in fixes}
        ec2 = self.members.ec2(place, "read")
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
        begins = {
            arn: Begin(watch=each.launched_at, count=max(each.launched_at, oldest or each.launched_at))
            for arn, each in members.items()
        }
        watch = timedelta(hours=policy.watch_hours)
        ripe = {arn for arn, each in members.items() if oldest is None and self.now() - each.launched_at >= watch}
        signs = gather_signs(self.members.cloudwatch(place), begins, ripe, self.now())
        return signs | self._since_cleared({arn: each for arn, each in signs.items() if each.refused})

    def _since_cleared(self, signs: Mapping[InstanceArn, Signs]) -> dict[InstanceArn, Signs]:
        """The signs without the refused calls that a person has settled."""
        records = self.response.ledger.read(signs) if signs else {}
        return {arn: replace(each, refused=after(each.refused, records[arn].cleared_at)) for arn, each in signs.items()}

    def _respond(self, fix: SourceFix, broken: Broken, policy: Policy, request_id: str) -> int:
        """Hold the cohort, and take the source back. 1 if it is left broken: the policy says that people alone put it back."""
        now, arn = self.now(), broken.member.arn
        self._hold(broken.member, policy)
        why = (
            f"IMDSv1 calls of {arn.instance_id}, launched from the new version, were refused {broken.why}: its software broke. "
            f"Update it, and then: {command('clear', arn)}"
        )
        known = replace(fix, broken_by=str(arn), broken_at=fix.broken_at or now)
        if policy.rollback is RollbackMode.ALERT:
            if fix.broken_at is None:
                only = 'The policy says "rollback": "alert": nothing was put back. Put it back by undo.'
                alerted = replace(known, explanation=f"{why} {only}", owes=known.owes | {TELL, COUNT})
                self._settled(self.fixing.fixes.save(alerted))
            return 1
        ended = self.fixing.take_back(replace(known, owes=known.owes | {COUNT}), request_id, why)
        self._settled(ended.fix)
        return 0

    def _settled(self, fix: SourceFix | None) -> None:
        if fix is not None and COUNT in fix.owes:
            fix = self._counted(fix)
        if fix is not None and TELL in fix.owes:
            self.fixing.teller.tell(fix)

    def _counted(self, fix: SourceFix) -> SourceFix:
        """Count the source once towards the circuit breaker, however many of its instances broke."""
        now, account = self.now(), account_key(fix.place)
        accounts = self.response.accounts
        enforced = len(self.response.ledger.enforced_since(account, now - A_DAY))
        known = accounts.count_broken(account, {fix.key: fix.fixed_at or now}, enforced, now)
        self.response.tell_breaker(known)
        return self.fixing.fixes.save(replace(fix, owes=fix.owes - {COUNT})) or fix

    def _hold(self, member: Instance, policy: Policy) -> None:
        """What breaks holds all that runs the same software, and what its source launches next, until a person clears it."""
        key = cohort_of(member, tag=policy.cohort_tag)
        if key is None:
            return
        record = self.response.ledger.read([member.arn])[member.arn]
        if not record.is_broken:
            # By its own record a person clears it, and its cohort with it.
            self.writer.write([Change(before=record, after=replace(record, broken_at=self.now(), cohort=key))])
        now = self.now()
        for name in {key, lineage_of(key)}:
            held = self.response.cohorts.read([name])[name]
            if held.broken_by is None or not held.is_held(record.cleared_at):
                self.response.cohorts.change(
                    name, lambda known: replace(known.renewed(), broken_by=member.arn, broken_at=now)
                )

    def _verified(self, fix: SourceFix, members: int, policy: Policy) -> None:
        why = (
            f"{fix.explanation} Of {count(members, 'instance')} launched since, none was refused a call that is breakage, and at least "
            f"one of them has run clean for {count(policy.watch_hours, 'hour')}."
        )
        self.fixing.fixes.save(fix.moved(FixStatus.VERIFIED, self.now(), why))
