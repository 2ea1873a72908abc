"""The watch of one instance: its start and length, its health, and the resulting change of the record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain import health
from imdsv2.domain.decision import is_settling
from imdsv2.domain.health import LATE, Health
from imdsv2.domain.instance import Instance, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Source
from imdsv2.guard.rollback import Return
from imdsv2.ledger.record import OVER, Change

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import Target
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.record import Enforced, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """An instance under watch. ``since``: running time counts from here; ``counted_from``: rejected calls count from
    here; ``hours``: how long it must stay clean."""

    record: Record
    instance: Instance
    since: datetime
    counted_from: datetime
    hours: int

    def health(self, signs: Signs, policy: Policy, now: datetime, *, hours: int | None = None) -> Health:
        """The health that the signs show. ``hours``: how long it must stay clean, if not the watch's own length."""
        return health.judge(
            signs,
            since=self.since,
            hours=self.hours if hours is None else hours,
            running_since=self.instance.launched_at if self.instance.state == "running" else None,
            threshold=policy.rejected_threshold,
            min_coverage=policy.min_coverage,
            now=now,
        )

    def settled(self, signs: Signs, policy: Policy, now: datetime) -> Change | None:
        """The change for a clean instance: canary proof after the canary's hours, `verified` after the whole watch."""
        after = replace(self.record, clean_at=now) if self.record.awaits_canary_proof else self.record
        if self.health(signs, policy, now, hours=policy.watch_hours) is Health.CLEAN:
            after = self._verified(after, signs, timedelta(days=policy.lookback_days), now)
        if after == self.record:
            return None
        return Change(before=self.record, after=after, says=("status", "explanation", "source"))

    def broken(self, signs: Signs) -> Return:
        """The rollback of a broken instance, with the reason."""
        count = "1 IMDSv1 call was" if signs.rejected_calls == 1 else f"{signs.rejected_calls} IMDSv1 calls were"
        last = f", the last at {signs.last_rejected_call:%Y-%m-%d %H:%M UTC}" if signs.last_rejected_call else ""
        why = f"{count} rejected since {self.counted_from:%Y-%m-%d %H:%M UTC}{last}: its software needs IMDSv1."
        return Return(record=self.record, target=self.instance, why=why, broken=True, source=Source.GUARD)

    def _verified(self, record: Record, signs: Signs, lookback: timedelta, now: datetime) -> Record:
        if record.status == Status.VERIFIED:
            return replace(record, watch=OVER) if record.restarted_at else record
        until = (record.enforced_at or now) + lookback
        why = (
            f"Tokens are required since {self.since:%Y-%m-%d %H:%M UTC}; no IMDSv1 call was rejected in {signs.alive_hours} hours in "
            f"which it ran. It is looked at every hour until {until:%Y-%m-%d}, and watched once more after its next start."
        )
        return replace(
            record,
            status=Status.VERIFIED,
            verified_at=now,
            explanation=why,
            source=Source.GUARD,
            revisit_at=None,
            changed_at=now,
            left_because=None,
        )


def watched(record: Record, instance: Instance, policy: Policy, now: datetime) -> Watched:
    """The watch of an enforced instance: it starts at the enforcement, or once verified, at the next start."""
    since = record.restarted_at if record.status == Status.VERIFIED and record.restarted_at else record.enforced_at
    assert since is not None  # noqa: S101 - the index holds nothing that was not enforced
    cleared_at = record.cleared_at or since
    is_canary = policy.canary is not None and record.awaits_canary_proof
    return Watched(
        record=record,
        instance=instance,
        since=max(since, cleared_at),
        counted_from=max(_counted_from(record, since, policy, now), cleared_at),
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
    if row.status != Status.VERIFIED or row.restarted_at is not None or row.asked_back or row.broken:
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
            return target.options.http_tokens != "required" and not is_settling(target, enforced_at, now)
        case Unreachable():
            return False
    return True


def resumed(record: Record, target: Target) -> Return:
    """The rollback that a person requested, or that an earlier run left unfinished."""
    undo = record.undo
    source = Source.MANUAL if undo else Source(str(record.source))
    return Return(
        record=record,
        target=target,
        why=undo.why if undo else str(record.explanation),
        broken=undo is None and source is Source.GUARD,
        source=source,
        caller=undo.by if undo else record.caller,
    )


def _counted_from(record: Record, since: datetime, policy: Policy, now: datetime) -> datetime:
    """From when on rejected calls count: the start of the watch; once verified, only calls after the verification and
    within the last `watch_hours`, or since the restart if that is earlier and watched again. For a broken instance, all
    calls since the verification count."""
    if record.verified_at is None:
        return since
    proved_until = record.verified_at - LATE
    if record.is_broken:
        return proved_until
    lately = now - timedelta(hours=policy.watch_hours)
    is_watched_again = record.is_watched and record.restarted_at is not None
    return max(proved_until, min(since, lately) if is_watched_again else lately)
