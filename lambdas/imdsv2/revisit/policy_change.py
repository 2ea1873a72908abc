"""Makes due at once what waits for a person's word in the policy or the change calendar, and would else be judged daily.

The index of due instances is walked through once for each change, page by page, over as many invocations as it takes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.batches import batched
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Policy
from imdsv2.domain.policy_change import concerned
from imdsv2.domain.verdict import SOON, Reason
from imdsv2.errors import LedgerContended, PolicyRefused
from imdsv2.ledger.policy import Writing
from imdsv2.ledger.trail import Event, Kind
from imdsv2.revisit.policy_trail import policy_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from aws_lambda_powertools import Logger

    from imdsv2.aws.change_calendar import ChangeCalendar
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.policy import PolicySource, Reading
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.ledger.walk import Walk, Walks

_SETTLES = timedelta(seconds=15)
"""Functions keep the policy for five seconds: what was judged until then may have been judged by the old one."""
_WRITINGS_TOLD = 90
"""The newest: they are written with the walk in one transaction, which takes 100 items."""
_PAGE = 300
_DUE_TOGETHER = 50
_A_SECOND = 10
"""So many are made due for each second."""
_SPREAD = timedelta(hours=1)
_TRIFLE = timedelta(microseconds=1)
_WAITING = frozenset({Status.WOULD_ENFORCE, Status.HELD, Status.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """Notices changes of the policy and of the calendar, and walks. ``now``: the clock."""

    ledger: Ledger
    walks: Walks
    policies: PolicySource
    calendar: ChangeCalendar
    now: Callable[[], datetime]
    logger: Logger

    def make_due(self, has_time: Callable[[], bool]) -> int:
        """Notice what has changed, and go on with the walk until it is over or time runs out. Returns how many instances were made
        due. Never raises what AWS answers: the next invocation goes on."""
        moved = 0
        try:
            walk = self._noticed(self.walks.read())
            while walk is not None and (since := self._goes_on_since(walk)) is not None and has_time():
                walk, more = self._step(walk, since)
                moved += more
        except (*CALL_FAILURES, LedgerContended) as error:
            self.logger.warning("what the policy concerns not made due", extra={"problem": describe_error(error)})
        return moved

    def _goes_on_since(self, walk: Walk) -> datetime | None:
        """When a walk began that has not come to its end; None where there is none, or functions may still have the old policy."""
        is_settled = walk.since is not None and self.now() >= walk.since + _SETTLES
        return walk.since if walk.reasons and is_settled else None

    def _noticed(self, known: Walk) -> Walk | None:
        """The walk, begun anew if there is something new; None if another invocation was quicker."""
        now = self.now()
        reading = self.policies.read(now)
        if reading.stamp is None:
            if not reading.in_force.is_refused or known.refused:
                return known
            return self._saved(replace(known, refused=True), self._refused(known, str(reading.in_force.problem)))
        policy = reading.in_force.policy
        is_closed = (
            policy.change_calendar is not None and self.calendar.state(policy.change_calendar, now).closed is not None
        )
        reasons: frozenset[str] = known.reasons
        writings = self._until(known, reading) if reading.stamp != known.stamp else []
        if known.stamp is not None and reading.stamp != known.stamp:
            reasons |= _concerned(known, policy, writings) | ({Reason.POLICY_UNREADABLE} if known.refused else set())
        if known.calendar_closed and not is_closed:
            reasons |= {Reason.CALENDAR_CLOSED}
        document = json.dumps(policy.to_document())
        noticed = replace(
            known, stamp=reading.stamp, document=document, refused=False, calendar_closed=is_closed, reasons=reasons
        )
        if reasons != known.reasons or (reasons and reading.stamp != known.stamp):
            noticed = replace(noticed, since=now, shard=0, after=None, moved=0)
        if noticed == known:
            return known
        return self._saved(noticed, list(policy_events(known.document, writings[-_WRITINGS_TOLD:])))

    def _until(self, known: Walk, reading: Reading) -> list[Writing]:
        """The writings up to a new policy. Where its history cannot be had, several count as one, and nobody knows who made them."""
        last = Writing(
            version=reading.version,
            value=json.dumps(reading.in_force.policy.to_document()),
            modified_at=reading.modified_at,
        )
        return [each for each in self._writings(known.stamp) if str(each.stamp) <= str(last.stamp)] or [last]

    def _refused(self, known: Walk, problem: str) -> list[Event]:
        events = policy_events(known.document, self._writings(known.stamp))
        fallback = Event(kind=Kind.POLICY_REFUSED, details={"explanation": problem})
        return [each for each in events if each.kind is Kind.POLICY_REFUSED][-1:] or [fallback]

    def _writings(self, stamp: str | None) -> list[Writing]:
        try:
            return self.policies.writings(stamp)
        except Exception:
            # Whoever changed it, the change is told, and what it concerns is made due.
            self.logger.exception("who changed the policy is not known")
            return []

    def _step(self, walk: Walk, since: datetime) -> tuple[Walk | None, int]:
        """One page. Returns the walk after it, None if another invocation was quicker; and how many were made due."""
        found, after = self.walks.page(walk, since + SOON, _PAGE)
        records = self.ledger.read(found) if found else {}
        due = [arn for arn, record in records.items() if _is_concerned(record, walk.reasons, since)]
        moved = walk.moved
        for several in batched(due, _DUE_TOGETHER):
            offset = timedelta(seconds=moved / _A_SECOND) % _SPREAD
            self._make_due(several, found, max(self.now(), since + offset))
            moved += len(several)
        reached = replace(walk, shard=walk.shard if after else walk.shard + 1, after=after, moved=moved)
        if reached.is_over:
            reached = replace(reached, reasons=frozenset(), since=None, shard=0)
            self.logger.info("what the policy concerns is due", extra={"instances": moved})
        return self._saved(reached), len(due)

    def _make_due(self, arns: Sequence[InstanceArn], found: dict[InstanceArn, str], when: datetime) -> None:
        """What is due before that anyway is brought forward all the same, by a trifle: whoever judges it by the old policy must see that
        somebody has made it due since."""
        due = {arn: found[arn] for arn in arns}
        self.ledger.claim(due, {arn: min(when, datetime.fromisoformat(due[arn]) - _TRIFLE) for arn in arns})

    def _saved(self, walk: Walk, events: Sequence[Event] = ()) -> Walk | None:
        return replace(walk, version=walk.version + 1) if self.walks.save(walk, events, self.now()) else None


def _is_concerned(record: Record, reasons: AbstractSet[str], since: datetime) -> bool:
    """Whether a record waits for one of these reasons, with a verdict that may have been made by the old policy."""
    if record.status not in _WAITING or record.reason not in reasons or record.revisits_to_tell:
        return False
    return record.decided_at is None or record.decided_at < since + _SETTLES


def _concerned(known: Walk, policy: Policy, writings: Sequence[Writing]) -> frozenset[str]:
    """The reasons of the verdicts that a policy in place of the known one concerns, and those that came between: what was judged by one
    that was soon put back waits for the day all the same."""
    try:
        before = Policy.from_json(known.document or "{}")
    except PolicyRefused:
        before = Policy()  # Kept by another version of the service.
    reasons: set[str] = set()
    for each in writings:
        try:
            then = Policy.from_json(each.value)
        except PolicyRefused:
            reasons.add(Reason.POLICY_UNREADABLE)
            continue
        reasons |= concerned(before, then)
        before = then
    return frozenset(reasons | concerned(before, policy))
