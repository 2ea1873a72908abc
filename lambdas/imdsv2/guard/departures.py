"""Instances that are no longer as we left them: they are let go, but not before it is known whether their software had broken.

Whoever puts an instance back by hand mostly does so because something broke, and a group replaces what no longer answers:
if that were taken for a mere change, the next canary would be taken, and the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.breakage import pattern
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import command
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.guard.counting import counted_from, rejected, starts_of
from imdsv2.guard.signs import Begin, gather_signs
from imdsv2.ledger.change import Change
from imdsv2.ledger.record_values import COUNT, ENDED, ENDED_UNEXPLAINED, OPEN, OPENED, OVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.health import Signs
    from imdsv2.domain.instance import InstanceArn, Place, Target
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.response import Response
    from imdsv2.guard.writer import Writer
    from imdsv2.ledger.record import Record

_JUST_NOW = timedelta(minutes=10)
"""Two passes: what a person cleared in that time may have been opened before."""
_ASKED_FOR = timedelta(days=1)
"""How long the metric of what has gone is asked for again where it cannot be read."""
_SHOWN_AFTER = timedelta(minutes=20)
"""CloudWatch shows what was refused within minutes; four passes lie in that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Departure:
    """An instance that is let go. ``is_opened``: it is there, and somebody has set its tokens to optional."""

    record: Record
    is_opened: bool
    signs: Signs
    broke: bool
    is_settled: bool

    @property
    def is_news(self) -> bool:
        """Whether people have to hear of it: that software broke, that nobody knows why it was opened, or that it has gone and
        nobody knows what made the calls that were refused."""
        if self.is_opened:
            return self.broke or not self.is_settled
        return self.broke or bool(self.signs.refused) or self.signs.problem is not None

    @property
    def left_because(self) -> str:
        if self.is_opened:
            return OPENED
        return ENDED if self.broke else ENDED_UNEXPLAINED

    def change(self, now: datetime, request_id: str) -> Change:
        owes = self.record.owes | ({COUNT} if self.broke else set())
        # Until people have been told, and all else that it owes is done.
        watch = OPEN if self.is_news or owes else OVER
        after = replace(self.record, watch=watch, owes=owes, canary_lost=True)
        if self.record.stands:
            after = replace(after, revisit_at=now)
        if self.broke:
            after = replace(after, broken_at=self.record.broken_at if self.record.is_broken else now)
        if self.is_news:
            after = replace(after, left_because=self.left_because, explanation=self._why(), changed_at=now)
        if self.is_news and self.is_opened and (self.record.stands or self.record.reason == Reason.CHANGED_BACK):
            after = replace(
                after,
                status=Status.HELD,
                decision=Decision.HOLD,
                reason=Reason.CHANGED_BACK,
                source=Source.GUARD,
                caller=None,
                request_id=request_id,
                decided_at=now,
            )
        return Change(before=self.record, after=after, says=("status", "decision", "reason", "explanation", "source"))

    def _why(self) -> str:
        arn = self.record.arn
        clear = command("clear", arn)
        what = (
            "Somebody has set tokens to optional, which the service had required"
            if self.is_opened
            else "It has gone, after the service had required tokens"
        )
        if not self.broke and not self.is_opened:
            return f"{what}; {self._seen_before_it_went()}. What runs the same software waits until a person says what that was: {clear}"
        if not self.broke:
            unread = f" (that could not be read completely: {self.signs.problem})" if self.signs.problem else ""
            return (
                f"{what}; no IMDSv1 call was seen to be rejected{unread}. Nobody has said why, so what runs the same software waits. If "
                f"something broke, update that software first; then, or if nothing did, say so: {clear}"
            )
        broke = (
            f"{rejected(self.signs, counted_from(self.record), None)}: its software needs IMDSv1"
            if self.signs.refused
            else "its software had broken"
        )
        return (
            f"{what}; {broke}. What runs the same software is held. Update that software and restart it; then: {clear}"
        )

    def _seen_before_it_went(self) -> str:
        if not self.signs.refused:
            return f"whether IMDSv1 calls were rejected before cannot be read ({self.signs.problem})"
        return (
            f"{rejected(self.signs, counted_from(self.record), None)}. That is a probe (a scanner, a person's test) or software that "
            "needs IMDSv1 and was replaced because of it, and too little to tell which"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Departures:
    """Lets go of instances of one account and Region at a time. ``now``: the clock."""

    clients: MemberClients
    response: Response
    writer: Writer
    now: Callable[[], datetime]

    def let_go(
        self,
        place: Place,
        records: Sequence[Record],
        targets: Mapping[InstanceArn, Target],
        policy: Policy,
        request_id: str,
    ) -> list[Record]:
        """What has gone, or was changed back by somebody, is no longer ours to watch: it is judged anew at once. Returns the records of
        which people have to be told.

        Refused calls are read first. With any, somebody who opened it put back what broke; without, its cohort waits until a
        person says what it was. What has gone broke where they form a pattern; where they form none, its cohort waits as well.
        """
        if not records:
            return []
        departures = self._departures(place, records, targets, policy)
        departures = [each for each in departures if not self._is_asked_again(each)]
        broken = [each.record for each in departures if each.broke]
        self.response.holds.hold(broken, unexplained=False)
        unknown = [each.record for each in departures if each.is_news and not each.broke]
        self.response.holds.hold(unknown, unexplained=True)
        changes = {each.record.arn: each.change(self.now(), request_id) for each in departures}
        lost = self.writer.write(changes.values()).lost
        return [
            changes[each.record.arn].applied() for each in departures if each.is_news and each.record.arn not in lost
        ]

    def _is_asked_again(self, departure: _Departure) -> bool:
        """Whether what has gone is kept for now; since when is noted. Its metric cannot be read, or it is a canary, which speaks for
        its cohort: what it was refused in its last minutes may not be shown yet."""
        record, signs, now = departure.record, departure.signs, self.now()
        if departure.is_opened or departure.broke or signs.refused:
            return False
        if signs.problem is None and not record.awaits_canary_proof:
            return False
        if record.unseen_since is None:
            self.writer.write([Change(before=record, after=replace(record, unseen_since=now))])
        return now - (record.unseen_since or now) < (_ASKED_FOR if signs.problem else _SHOWN_AFTER)

    def _departures(
        self, place: Place, records: Sequence[Record], targets: Mapping[InstanceArn, Target], policy: Policy
    ) -> list[_Departure]:
        now = self.now()
        begins = {each.arn: Begin(watch=now, count=counted_from(each)) for each in records}
        signs = gather_signs(self.clients.cloudwatch(place), begins, set(), now)
        departures = []
        for record in records:
            target, seen = targets[record.arn], signs[record.arn]
            is_opened = isinstance(target, Instance) and target.state not in {"terminated", "shutting-down"}
            broke = bool(seen.refused) if is_opened else _is_breakage(record, target, seen, policy)
            departures.append(
                _Departure(
                    record=record,
                    is_opened=is_opened,
                    signs=seen,
                    broke=broke or record.is_broken,
                    is_settled=_is_settled(record, now),
                )
            )
        return departures


def _is_breakage(record: Record, target: Target, signs: Signs, policy: Policy) -> bool:
    found = pattern(
        signs.refused,
        starts=starts_of(record, target if isinstance(target, Instance) else None),
        watched_from=counted_from(record) if record.verified_at is None else None,
        threshold=policy.rejected_threshold,
        periods=policy.rejected_periods,
    )
    return found is not None


def _is_settled(record: Record, now: datetime) -> bool:
    """Whether a person has cleared it since it was opened, as far as that can be known."""
    if record.cleared_at is None:
        return False
    since = now - _JUST_NOW
    if record.reason == Reason.CHANGED_BACK and record.decided_at is not None:
        since = min(since, record.decided_at)
    return record.cleared_at >= since
