"""The watch of one instance: its start and length, its health, and the resulting change of the record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain import breakage, health
from imdsv2.domain.health import Health
from imdsv2.domain.instance import Instance, Missing, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import command
from imdsv2.domain.texts.words import count, minute
from imdsv2.domain.verdict_table.decision import is_settling
from imdsv2.guard.counting import counted_from, rejected, rejected_calls, starts_of
from imdsv2.guard.rollback_request import RollbackRequest
from imdsv2.ledger.change import Change
from imdsv2.ledger.record_values import OVER, PROBE

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import Target
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.change import Enforced
    from imdsv2.ledger.record import Record

_LATELY = timedelta(days=7)
_KNOWN_AFTER = timedelta(minutes=10)
"""So long after an enforcement, EC2's saying that there is no such instance may be an old answer."""
_TOLD_AGAIN_AFTER = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Its ledger record, what EC2 shows, since when it has to live, from when on refused calls count, and for how many
    hours it has to stay clean. ``together_from``: from when on refused calls count together, however far apart; None where
    no watch goes on."""

    record: Record
    instance: Instance
    since: datetime
    counted_from: datetime
    together_from: datetime | None
    hours: int

    def pattern(self, signs: Signs, policy: Policy) -> str | None:
        """What makes its refused calls breakage, in words; None where nothing does."""
        return breakage.pattern(
            signs.refused,
            starts=starts_of(self.record, self.instance),
            watched_from=self.together_from,
            told=self.record.probe_at,
            threshold=policy.rejected_threshold,
            periods=policy.rejected_periods,
        )

    def health(self, signs: Signs, policy: Policy, now: datetime) -> Health:
        """What its signs mean. A canary speaks for its cohort: once a call was refused that nobody has explained, it is clean
        only when its own hours and those of the whole watch have passed since, so that software which fails seldom has the
        time to fail again before others are changed. What broke stays broken until a person clears it."""
        last = signs.last_rejected_call if self.record.awaits_canary_proof else None
        hours = self.hours if last is None else max(self.hours, policy.watch_hours)
        broken = self.record.is_broken or self.pattern(signs, policy) is not None
        return self._judged(signs, policy, now, broken=broken, hours=hours, quiet_since=last)

    def settled(self, signs: Signs, policy: Policy, now: datetime) -> Change | None:
        """The change for a clean instance: canary proof after the canary's hours, `verified` after the whole watch."""
        if not self.record.stands:
            return None  # Somebody opened it and closed it again: the line judges it at its turn.
        after = replace(self.record, clean_at=now) if self.record.awaits_canary_proof else self.record
        if self._judged(signs, policy, now, broken=False, hours=policy.watch_hours) is Health.CLEAN:
            after = self._verified(after, signs, now)
        if after == self.record:
            return None
        return Change(before=self.record, after=after, says=("status", "explanation", "source"))

    def broken(self, signs: Signs, pattern: str | None) -> RollbackRequest:
        """That it is to be put back, and why."""
        why = f"{rejected(signs, self.counted_from, pattern)}: its software needs IMDSv1."
        return RollbackRequest(record=self.record, target=self.instance, why=why, broken=True, source=Source.GUARD)

    def is_news(self, signs: Signs) -> bool:
        """Whether calls were refused of which people have not been told. What follows within hours belongs to what was told."""
        last, told = signs.last_rejected_call, self.record.probe_at
        if last is None:
            return False
        return told is None or told < counted_from(self.record) or last - told > _TOLD_AGAIN_AFTER

    def told(self, signs: Signs, now: datetime) -> Change:
        """What to record of refused calls that are too few to be breakage: both readings, and what to do about each."""
        arn = self.record.arn
        why = (
            f"{rejected(signs, self.counted_from, None)}. That is a probe (a scanner, a person's test, a request forged from outside) or "
            "software that needs IMDSv1, and too little to tell which; tokens stay required, and it is watched on. If its software "
            f"needs IMDSv1, have it put back: {command('undo', arn)} If it was a probe, say so: {command('clear', arn)}"
        )
        after = replace(
            self.record, probe_at=signs.last_rejected_call, left_because=PROBE, explanation=why, changed_at=now
        )
        return Change(before=self.record, after=after)

    def _judged(
        self,
        signs: Signs,
        policy: Policy,
        now: datetime,
        *,
        broken: bool,
        hours: int,
        quiet_since: datetime | None = None,
    ) -> Health:
        return health.judge(
            signs,
            broken=broken,
            since=self.since,
            quiet_since=quiet_since,
            hours=hours,
            running_since=self.instance.launched_at if self.instance.state == "running" else None,
            min_coverage=policy.min_coverage,
            now=now,
        )

    def _verified(self, record: Record, signs: Signs, now: datetime) -> Record:
        if record.status == Status.VERIFIED:
            return replace(record, watch=OVER, required_seen_at=now) if record.restarted_at else record
        few = f"{rejected_calls(signs)}, too few to be breakage,"
        seen = few if signs.refused else "no IMDSv1 call was rejected"
        why = (
            f"Tokens are required since {minute(self.since)}; {seen} in {count(signs.alive_hours, 'hour')} in which it ran. It is looked at "
            "every hour for as long as tokens are required by the service, and watched once more after its next start."
        )
        return replace(
            record,
            status=Status.VERIFIED,
            verified_at=now,
            required_seen_at=now,
            explanation=why,
            source=Source.GUARD,
            revisit_at=None,
            changed_at=now,
            left_because=None,
        )


def watched(record: Record, instance: Instance, policy: Policy, now: datetime) -> Watched:
    """The watch of an enforced instance: from its enforcement, or once that was proved healthy, from its next start."""
    is_proved = record.status == Status.VERIFIED
    since = record.restarted_at if is_proved and record.restarted_at else record.enforced_at
    assert since is not None  # noqa: S101 - the index holds nothing that was not enforced
    begun = since if is_proved else counted_from(record)
    is_canary = policy.canary is not None and record.awaits_canary_proof
    return Watched(
        record=record,
        instance=instance,
        since=max(since, record.cleared_at or since),
        counted_from=_lately_counted_from(record, since, now),
        together_from=begun if record.is_watched and (not is_proved or record.restarted_at) else None,
        hours=policy.canary.hours if policy.canary is not None and is_canary else policy.watch_hours,
    )


def noticed(record: Record, instance: Instance) -> Record:
    """The record, updated by what EC2 shows: first restart, a canary that stopped, visible again."""
    after = replace(record, unseen_since=None)
    enforced_at = record.enforced_at
    if record.restarted_at is None and enforced_at is not None and instance.launched_at > enforced_at:
        after = replace(after, restarted_at=instance.launched_at)
    if instance.state != "running" and record.awaits_canary_proof:
        after = replace(after, canary_lost=True)
    return after


def is_dormant(row: Enforced, target: Target) -> bool:
    """Whether the instance is verified and, as far as is known, not restarted since: only its next start matters."""
    if not row.awaits_start:
        return False
    match target:
        case Instance():
            there = target.state in {"pending", "running", "stopping", "stopped"}
            return there and target.options.http_tokens == "required" and target.launched_at <= row.enforced_at
        case Unreachable():
            return True
    return False


def is_lost(record: Record, target: Target, now: datetime) -> bool:
    """Whether it is gone or someone changed it back. A change that EC2 has yet to apply is neither."""
    match target:
        case Instance():
            if target.state in {"terminated", "shutting-down"}:
                return True
            enforced_at = record.enforced_at or now
            return target.options.http_tokens == "optional" and not is_settling(target, enforced_at, now)
        case Unreachable():
            return False
        case Missing():
            return record.enforced_at is None or now - record.enforced_at > _KNOWN_AFTER


def resumed(record: Record, target: Target) -> RollbackRequest:
    """The rollback that a person requested, or that an earlier run left unfinished."""
    undo = record.undo
    source = Source.MANUAL if undo else Source(str(record.source))
    return RollbackRequest(
        record=record,
        target=target,
        why=undo.why if undo else str(record.explanation),
        broken=undo is None and source is Source.GUARD,
        source=source,
        caller=undo.by if undo else record.caller,
    )


def _lately_counted_from(record: Record, since: datetime, now: datetime) -> datetime:
    """From when on refused calls count at present: during a watch from its beginning; once it was proved, what lies no more
    than a week back, so that what CloudWatch shows hours late still counts. What is broken stays so."""
    begun = counted_from(record)
    if record.verified_at is None or record.is_broken:
        return begun
    return max(begun, min(since, now - _LATELY) if record.is_watched and record.restarted_at else now - _LATELY)
