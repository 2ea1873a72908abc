"""Checks the gates: collects their inputs, for many instances of one account and Region at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsv2.aws.security_hub import Closed
from imdsv2.domain import gates as gate
from imdsv2.domain.account import Reservation
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Mode
from imdsv2.domain.verdict import Reason
from imdsv2.domain.verdict_table.decision import decide_scope
from imdsv2.ledger.finding_key import key_of
from imdsv2.line.denials import Denied
from imdsv2.line.judgement import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime, timedelta

    from imdsv2.aws.change_calendar import ChangeCalendar
    from imdsv2.aws.security_hub import SecurityHub
    from imdsv2.domain.instance import InstanceArn, Placed
    from imdsv2.domain.policy import Policy
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.line.canaries import Canaries, LookFurther
    from imdsv2.line.denials import Denials
    from imdsv2.line.judgement import Judgement

_SUPPRESSED_BY_EVENT = "The finding that asked for it is suppressed; set it back to NEW or NOTIFIED and ask again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The result of the gates. ``held``: held instances, and those that the mode leaves at `would_enforce`. ``open``:
    instances that passed all gates. ``summoned``: canaries that nobody requested. ``reservation``: the cap reserved
    for ``open``. ``tried``: cohorts of which one instance is tried again, because the organisation had forbidden the change."""

    held: dict[InstanceArn, Judgement]
    open: list[Judgement]
    summoned: list[Judgement]
    reservation: Reservation | None
    tried: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """All gates, with the clients they need. ``lease``: for how long what has passed them may still be changed."""

    policies: PolicySource
    hub: SecurityHub
    accounts: Accounts
    canaries: Canaries
    denials: Denials
    calendar: ChangeCalendar
    lease: timedelta
    now: Callable[[], datetime]

    def ask(self, willing: Sequence[Judgement], look_further: LookFurther, *, dry_run: bool = False) -> Asked:
        """Check every gate for the instances to be enforced, of one account and Region. A dry run writes nothing."""
        if not willing:
            return Asked(held={}, open=[], summoned=[], reservation=None)
        held = self._ask_standing(willing, dry_run=dry_run)
        left = [each for each in willing if each.arn not in held]
        policy, now = self.policies.current(self.now()).policy, self.now()
        for asked in (_ask_approval, _ask_notice):
            held |= {each.arn: shut for each in left if (shut := asked(each, policy, now)) is not None}
            left = [each for each in left if each.arn not in held]
        denied = self.denials.ask(left) if left else Denied()
        held |= {
            each.arn: replace(each.with_verdict(denied.held[each.arn]), is_told_already=True)
            for each in left
            if each.arn in denied.held
        }
        left = [each for each in left if each.arn not in held]
        summoned: list[Judgement] = []
        if policy.canary is not None and left:
            turns = self.canaries.ask(left, policy.canary, look_further, now, dry_run=dry_run)
            held |= {each.arn: each.with_verdict(turns.held[each.arn]) for each in left if each.arn in turns.held}
            left = [replace(each, canary=each.arn in turns.canaries) for each in left if each.arn not in held]
            summoned = turns.summoned
        held |= self._ask_calendar(left)
        left = [each for each in left if each.arn not in held]
        reserved_at = self.now()  # Not `now`: looking for canaries may have taken long.
        full, reservation = self._ask_cap(left, policy, reserved_at, dry_run=dry_run)
        held |= full
        left = [each for each in left if each.arn not in held]
        return Asked(held=held, open=left, summoned=summoned, reservation=reservation, tried=denied.tried)

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
            held |= {each.arn: each.with_verdict(broken[each.arn]) for each in left if each.arn in broken}
        return held | self._ask_calendar([each for each in left if each.arn not in held])

    def ask_policy(self, judgement: Judgement, *, dry_run: bool = False) -> Judgement | None:
        """The judgement if the policy holds it or leaves it at `would_enforce`; None if enforcement may go on."""
        in_force, now = self.policies.current(self.now()), self.now()
        verdict = decide_scope(judgement.arn, in_force.policy, now) or gate.ask_policy(in_force, now)
        if verdict is not None and dry_run and verdict.reason is Reason.SWITCHED_OFF:
            return None
        if verdict is not None:
            return judgement.with_verdict(verdict)
        if in_force.policy.mode is Mode.OBSERVE and not judgement.case.lead.asked_by_person:
            return replace(judgement, status=Status.WOULD_ENFORCE)
        return None

    def settle(self, there: Placed, reservation: Reservation | None, changed_at: Collection[datetime]) -> None:
        """Count the changes when they were made; the rest of the cap that was reserved for them is free again."""
        if reservation is not None:
            self.accounts.settle(there, reservation, changed_at, self.now())

    def _ask_standing(self, willing: Sequence[Judgement], *, dry_run: bool = False) -> dict[InstanceArn, Judgement]:
        """Check the gates that may close at any time: policy, suppressed findings, circuit breaker."""
        held = {each.arn: shut for each in willing if (shut := self.ask_policy(each, dry_run=dry_run)) is not None}
        asked = [each for each in willing if each.arn not in held or held[each.arn].status is Status.WOULD_ENFORCE]
        suppressed = self.hub.suppressed({each.arn: _all_findings(each) for each in asked if not each.case.suppressed})
        for each in asked:
            closed = Closed(why=_SUPPRESSED_BY_EVENT) if each.case.suppressed else suppressed.get(each.arn)
            if closed is None:
                continue
            verdict = gate.ask_suppressed(closed.why, self.now(), may_pass=closed.may_pass)
            if verdict is not None:
                held[each.arn] = each.with_verdict(verdict)
        left = [each for each in willing if each.arn not in held]
        open_breaker = gate.ask_breaker(self.accounts.of(left[0].arn), self.now()) if left else None
        if open_breaker is not None:
            held |= {each.arn: each.with_verdict(open_breaker) for each in left}
        return held

    def _ask_calendar(self, left: Sequence[Judgement]) -> dict[InstanceArn, Judgement]:
        calendar = self.policies.current(self.now()).policy.change_calendar
        if calendar is None or not left:
            return {}
        closed = gate.ask_calendar(self.calendar.state(calendar, self.now()), self.now())
        return {each.arn: each.with_verdict(closed) for each in left} if closed is not None else {}

    def _ask_cap(
        self, left: Sequence[Judgement], policy: Policy, now: datetime, *, dry_run: bool
    ) -> tuple[dict[InstanceArn, Judgement], Reservation | None]:
        if not left:
            return {}, None
        there, cap, until = left[0].arn, policy.max_enforcements_per_hour, now + self.lease
        if dry_run:
            rehearsed = Reservation(id="dry run", region=there.region, at=now, until=until, count=len(left))
            account = self.accounts.of(there).with_reservation(rehearsed, cap, now)
            reservation = account.reserved.get(rehearsed.id)
        else:
            reservation, account = self.accounts.reserve(there, len(left), cap, now, until)
        # Canaries first: the rest of their cohort waits for them.
        behind = sorted(left, key=lambda each: not each.canary)[reservation.count if reservation else 0 :]
        full = gate.cap_reached(policy, account.opens_at(there.region, cap, now), now)
        return {each.arn: each.with_verdict(full) for each in behind}, reservation


def _ask_approval(judgement: Judgement, policy: Policy, now: datetime) -> Judgement | None:
    verdict = gate.ask_approval(policy, judgement.record.approval, judgement.arn, now)
    return judgement.with_verdict(verdict) if verdict is not None else None


def _ask_notice(judgement: Judgement, policy: Policy, now: datetime) -> Judgement | None:
    record, tags = judgement.record, judgement.instance.tags if judgement.instance else {}
    owner = tags.get(policy.owner_tag) or judgement.arn.account
    ends_at = record.notice_ends_at if record.notified_at is not None else None
    undelivered = ends_at is None and record.reason == Reason.NOTICE_GIVEN
    verdict = gate.ask_notice(policy, ends_at, owner, judgement.arn, now, undelivered=undelivered)
    if verdict is None:
        return None
    if policy.mode is Mode.OBSERVE and ends_at is None:
        return judgement.with_verdict(gate.notice_not_given(policy, now))
    runs = ends_at is not None and ends_at > now
    return replace(judgement.with_verdict(verdict), notice=Notice(owner=owner, ends_at=ends_at if runs else None))


def _all_findings(judgement: Judgement) -> list[Finding]:
    stored = judgement.record.findings
    return [*stored.values(), *(each for each in judgement.case.findings if key_of(each, stored) not in stored)]
