"""The gates of a source: as for instances, in the same words where they are the same. Nothing but a person's own order passes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain import gates as gate
from imdsv2.domain.cohort import describe_cohort
from imdsv2.domain.policy import Approval, Mode
from imdsv2.domain.texts.commands import command
from imdsv2.domain.verdict import Reason
from imdsv2.domain.verdict_table.decision import decide_by_people, decide_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from imdsv2.aws.change_calendar import ChangeCalendar
    from imdsv2.domain.account import Reservation
    from imdsv2.domain.instance import Instance, InstanceArn, Place
    from imdsv2.domain.source_fix import SourceFix
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.cohort import Cohorts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger

_NOTICE_HOLDS_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """A gate that is closed. ``would``: nothing but the mode `observe` is in the way. ``notice``: the owner has yet to be told."""

    reason: str
    why: str
    would: bool = False
    notice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceGates:
    """All gates of a source. ``lease``: for how long what has passed them may be changed; ``now``: the clock."""

    policies: PolicySource
    accounts: Accounts
    cohorts: Cohorts
    ledger: Ledger
    calendar: ChangeCalendar
    lease: timedelta
    now: Callable[[], datetime]

    def ask(self, fix: SourceFix, instances: Iterable[Instance], records: Mapping[InstanceArn, Record]) -> Shut | None:
        """The first gate that is closed, None if all are open; the cap is asked by `room`.

        Args:
            fix: as it would be written; its caller's order is an approval.
            instances: those of the source, and of what shares with it what would be changed.
            records: what the ledger says of them.
        """
        return (
            self.ask_again(fix)
            or self._ask_people(instances, records)
            or self._ask_approval(fix)
            or self._ask_notice(fix)
        )

    def ask_again(self, fix: SourceFix) -> Shut | None:
        """The gates that may close at any time: mode, breaker, what broke before, calendar."""
        in_force, now, place = self.policies.current(self.now()), self.now(), fix.place
        verdict = decide_scope(place, in_force.policy, now) or gate.ask_policy(in_force, now)
        if verdict is not None:
            return Shut(reason=verdict.reason, why=verdict.explanation)
        if in_force.policy.mode is Mode.OBSERVE and fix.caller is None:
            return Shut(reason=Mode.OBSERVE, why='The policy says "mode": "observe": nothing is changed.', would=True)
        breaker = gate.ask_breaker(self.accounts.of(place), now)
        if breaker is not None:
            return Shut(reason=breaker.reason, why=breaker.explanation)
        return self._ask_cohorts(fix) or self._ask_calendar()

    def room(self, place: Place) -> Reservation | Shut:
        """Reserve room for one change under the hourly cap; where that is reached, when it opens again."""
        policy, now = self.policies.current(self.now()).policy, self.now()
        cap = policy.max_enforcements_per_hour
        reservation, account = self.accounts.reserve(place, 1, cap, now, now + self.lease)
        if reservation.count:
            return reservation
        full = gate.cap_reached(policy, account.opens_at(place.region, cap, now), now)
        return Shut(reason=full.reason, why=full.explanation)

    def settle(self, place: Place, reservation: Reservation, *, changed: bool) -> None:
        """Count the change, or give the room back."""
        self.accounts.settle(place, reservation, [self.now()] if changed else [], self.now())

    def _ask_cohorts(self, fix: SourceFix) -> Shut | None:
        cohorts = self.cohorts.read(fix.cohorts) if fix.cohorts else {}
        broken = {each.broken_by: each for each in cohorts.values() if each.broken_by is not None}
        records = self.ledger.read(broken) if broken else {}
        for arn, cohort in broken.items():
            if cohort.is_held(records[arn].cleared_at):
                why = (
                    f"{arn.instance_id} of {describe_cohort(cohort.key)} broke without IMDSv1. Update its software; then: "
                    f"{command('clear', arn)}"
                )
                return Shut(reason=Reason.BROKE_BEFORE, why=why)
        return None

    def _ask_calendar(self) -> Shut | None:
        calendar = self.policies.current(self.now()).policy.change_calendar
        closed = gate.ask_calendar(self.calendar.state(calendar, self.now()), self.now()) if calendar else None
        return Shut(reason=closed.reason, why=closed.explanation) if closed is not None else None

    def _ask_people(self, instances: Iterable[Instance], records: Mapping[InstanceArn, Record]) -> Shut | None:
        """What a person says of one instance holds for what replaces it, whether it runs, or requires tokens, just now or not."""
        policy, now = self.policies.current(self.now()).policy, self.now()
        for each in instances:
            record = records.get(each.arn)
            if record is None:
                continue
            verdict = decide_by_people(each, record.history, policy, now)
            suppressed = record.reason == Reason.SUPPRESSED
            if suppressed or verdict is not None:
                reason = Reason.SUPPRESSED if suppressed or verdict is None else verdict.reason
                said = record.explanation if suppressed or verdict is None else verdict.explanation
                return Shut(
                    reason=reason,
                    why=f"{each.arn.instance_id}, whose next launch would require tokens, is not to be changed: {said}",
                )
        return None

    def _ask_approval(self, fix: SourceFix) -> Shut | None:
        policy = self.policies.current(self.now()).policy
        if policy.approval is Approval.NONE or fix.caller is not None:
            return None
        why = (
            f'The policy says "approval": "required": a person has it changed by imdsv2 sources --fix --account {fix.place.account} '
            f'--in-region {fix.place.region}, or by the manual function, with "fix": true beside its account and Region or one of its '
            "instances under sources."
        )
        return Shut(reason=Reason.APPROVAL_REQUIRED, why=why)

    def _ask_notice(self, fix: SourceFix) -> Shut | None:
        policy, now = self.policies.current(self.now()).policy, self.now()
        ends_at = fix.notice_ends_at
        if policy.notice_hours == 0 or (ends_at is not None and ends_at <= now < ends_at + _NOTICE_HOLDS_FOR):
            return None
        runs = ends_at is not None and now < ends_at
        until = ends_at if runs and ends_at else now + timedelta(hours=policy.notice_hours)
        why = (
            f"Its next launches will require tokens after {until:%Y-%m-%d %H:%M UTC}. Owner: {fix.owner}. To object, set the tag "
            f"{policy.exempt_tag} of one of its instances to a date (YYYY-MM-DD)."
        )
        return Shut(reason=Reason.NOTICE_GIVEN, why=why, notice=not runs)
