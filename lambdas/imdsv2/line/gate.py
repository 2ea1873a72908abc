"""Checks the gates: collects their inputs, for many instances of one account and Region at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsv2.domain import gates as gate
from imdsv2.domain.decision import decide_scope
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Mode
from imdsv2.domain.verdict import Reason
from imdsv2.ledger.record import key_of
from imdsv2.line.judgement import STATUS_OF, Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from imdsv2.aws.change_calendar import ChangeCalendar
    from imdsv2.aws.security_hub import SecurityHub
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.domain.request import Finding
    from imdsv2.domain.verdict import Verdict
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.line.canaries import Canaries, LookFurther
    from imdsv2.line.judgement import Judgement

_SUPPRESSED_BY_EVENT = "The finding that asked for it is suppressed; set it back to NEW or NOTIFIED and ask again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The result of the gates. ``held``: held instances, and those that the mode leaves at `would_enforce`. ``open``:
    instances that passed all gates. ``summoned``: canaries that nobody requested. ``reserved_at``: when cap was
    reserved for ``open``."""

    held: dict[InstanceArn, Judgement]
    open: list[Judgement]
    summoned: list[Judgement]
    reserved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """All gates, with the clients they need."""

    policies: PolicySource
    hub: SecurityHub
    accounts: Accounts
    canaries: Canaries
    calendar: ChangeCalendar
    now: Callable[[], datetime]

    def ask(self, willing: Sequence[Judgement], look_further: LookFurther, *, dry_run: bool = False) -> Asked:
        """Check every gate for the instances to be enforced, of one account and Region. A dry run writes nothing."""
        if not willing:
            return Asked(held={}, open=[], summoned=[], reserved_at=self.now())
        held = self._ask_standing(willing, dry_run=dry_run)
        left = [each for each in willing if each.arn not in held]
        policy, now = self.policies.current(self.now()).policy, self.now()
        for asked in (_ask_approval, _ask_notice):
            held |= {each.arn: shut for each in left if (shut := asked(each, policy, now)) is not None}
            left = [each for each in left if each.arn not in held]
        summoned: list[Judgement] = []
        if policy.canary is not None and left:
            turns = self.canaries.ask(left, policy.canary, look_further, now, dry_run=dry_run)
            held |= {each.arn: _shut(each, turns.held[each.arn]) for each in left if each.arn in turns.held}
            left = [replace(each, canary=each.arn in turns.canaries) for each in left if each.arn not in held]
            summoned = turns.summoned
        held |= self._ask_calendar(left)
        left = [each for each in left if each.arn not in held]
        reserved_at = self.now()  # Not `now`: looking for canaries may have taken long.
        held |= self._ask_cap(left, policy, reserved_at, dry_run=dry_run)
        left = [each for each in left if each.arn not in held]
        return Asked(held=held, open=left, summoned=summoned, reserved_at=reserved_at)

    def ask_again(self, willing: Sequence[Judgement]) -> dict[InstanceArn, Judgement]:
        """Check the gates again, immediately before the call to EC2. Returns the instances for which one has closed.

        Approval, notice and cap are not checked again: they have been used up, ended and reserved by then.
        """
        if not willing:
            return {}
        held = self._ask_standing(willing)
        left = [each for each in willing if each.arn not in held]
        if self.policies.current(self.now()).policy.canary is not None and left:
            broken = self.canaries.broken(left, self.now())
            held |= {each.arn: _shut(each, broken[each.arn]) for each in left if each.arn in broken}
        return held | self._ask_calendar([each for each in left if each.arn not in held])

    def ask_policy(self, judgement: Judgement, *, dry_run: bool = False) -> Judgement | None:
        """The judgement if the policy holds it or leaves it at `would_enforce`; None if enforcement may go on."""
        in_force, now = self.policies.current(self.now()), self.now()
        verdict = decide_scope(judgement.arn, in_force.policy, now) or gate.ask_policy(in_force, now)
        if verdict is not None and dry_run and verdict.reason is Reason.SWITCHED_OFF:
            return None
        if verdict is not None:
            return _shut(judgement, verdict)
        if in_force.policy.mode is Mode.OBSERVE and not judgement.case.lead.asked_by_person:
            return replace(judgement, status=Status.WOULD_ENFORCE)
        return None

    def give_back(self, unused: Sequence[Judgement], reserved_at: datetime) -> None:
        """Return the cap reserved for instances that were not changed after all."""
        if unused:
            self.accounts.give_back(unused[0].arn, len(unused), reserved_at, self.now())

    def _ask_standing(self, willing: Sequence[Judgement], *, dry_run: bool = False) -> dict[InstanceArn, Judgement]:
        """Check the gates that may close at any time: policy, suppressed findings, circuit breaker."""
        held = {each.arn: shut for each in willing if (shut := self.ask_policy(each, dry_run=dry_run)) is not None}
        asked = [each for each in willing if each.arn not in held or held[each.arn].status is Status.WOULD_ENFORCE]
        suppressed = self.hub.suppressed({each.arn: _all_findings(each) for each in asked if not each.case.suppressed})
        for each in asked:
            why = _SUPPRESSED_BY_EVENT if each.case.suppressed else suppressed.get(each.arn)
            verdict = gate.ask_suppressed(why, self.now())
            if verdict is not None:
                held[each.arn] = _shut(each, verdict)
        left = [each for each in willing if each.arn not in held]
        open_breaker = gate.ask_breaker(self.accounts.of(left[0].arn), self.now()) if left else None
        if open_breaker is not None:
            held |= {each.arn: _shut(each, open_breaker) for each in left}
        return held

    def _ask_calendar(self, left: Sequence[Judgement]) -> dict[InstanceArn, Judgement]:
        calendar = self.policies.current(self.now()).policy.change_calendar
        if calendar is None or not left:
            return {}
        closed = gate.ask_calendar(self.calendar.state(calendar, self.now()), self.now())
        return {each.arn: _shut(each, closed) for each in left} if closed is not None else {}

    def _ask_cap(
        self, left: Sequence[Judgement], policy: Policy, now: datetime, *, dry_run: bool
    ) -> dict[InstanceArn, Judgement]:
        if not left:
            return {}
        there, cap = left[0].arn, policy.max_enforcements_per_hour
        if dry_run:
            known = self.accounts.of(there)
            granted = min(len(left), known.room(there.region, cap, now))
            account = known.with_enforcements(there.region, granted, now, now)
        else:
            granted, account = self.accounts.reserve(there, len(left), cap, now)
        # Canaries first: the rest of their cohort waits for them.
        behind = sorted(left, key=lambda each: not each.canary)[granted:]
        full = gate.cap_reached(policy, account.opens_at(there.region, cap, now), now)
        return {each.arn: _shut(each, full) for each in behind}


def _ask_approval(judgement: Judgement, policy: Policy, now: datetime) -> Judgement | None:
    verdict = gate.ask_approval(policy, judgement.record.approval, judgement.arn, now)
    return _shut(judgement, verdict) if verdict is not None else None


def _ask_notice(judgement: Judgement, policy: Policy, now: datetime) -> Judgement | None:
    record, tags = judgement.record, judgement.instance.tags if judgement.instance else {}
    owner = tags.get(policy.owner_tag) or judgement.arn.account
    # A notice that could not be sent starts again, so that the owner always gets the full notice period.
    unheard = record.reason == Reason.NOTICE_GIVEN and record.owes_notification()
    ends_at = None if unheard else record.notice_ends_at
    verdict = gate.ask_notice(policy, ends_at, owner, judgement.arn, now)
    if verdict is None or verdict.revisit_at is None:
        return None
    return replace(_shut(judgement, verdict), notice=Notice(owner=owner, ends_at=verdict.revisit_at))


def _shut(judgement: Judgement, verdict: Verdict) -> Judgement:
    return replace(judgement, verdict=verdict, status=STATUS_OF[verdict.decision])


def _all_findings(judgement: Judgement) -> list[Finding]:
    stored = judgement.record.findings
    return [*stored.values(), *_new(judgement.case.findings, stored)]


def _new(findings: Iterable[Finding], stored: Iterable[str]) -> list[Finding]:
    return [each for each in findings if key_of(each) not in set(stored)]
