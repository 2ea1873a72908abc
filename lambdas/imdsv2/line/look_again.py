"""The look again: what EC2 shows and what the gates say, immediately before EC2 is asked to change an instance.

Between the evidence and the call lie minutes in a large batch: quotas are waited for, tags are written. In that time people
exempt instances, require tokens themselves, restart, or close a gate. All instances that are still to be changed are looked
at together, and again whenever the last look has become too old.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.instance import Instance, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import SOON, Decision, Reason, Verdict
from imdsv2.domain.verdict_table.decision import decide_unseen, decide_without_evidence
from imdsv2.errors import LedgerContended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.record import Record
    from imdsv2.line.judgement import Judgement

GOOD_FOR = timedelta(seconds=12)
"""How old the look may be when an instance's turn has come; the call itself follows within a second or two."""
_AT_ONCE = 300
"""Instances that are looked at together. EC2 lets fewer be changed than that in the time that a look is good for, so most of
what lies further back would only be looked at again."""
_LOOKS = 3
"""How often in a row a look may take longer than it is good for."""


@dataclass(kw_only=True)
class LookAgain:
    """The instances of one account and Region that are about to be changed. Thread-safe.

    Args:
        waiting: those that are still to be changed.
        request_id: the invocation that holds the lease.
        look: describes instances, many at a time.
        read_ledger: reads their records.
        ask_gates: checks every gate again, in bulk; returns the instances for which one has closed.
        policy: the policy in force.
        now: the clock.
    """

    waiting: dict[InstanceArn, Judgement]
    request_id: str
    look: Callable[[Sequence[InstanceArn]], Mapping[InstanceArn, Target]]
    read_ledger: Callable[[Iterable[InstanceArn]], Mapping[InstanceArn, Record]]
    ask_gates: Callable[[Sequence[Judgement]], Mapping[InstanceArn, Judgement]]
    policy: Callable[[], Policy]
    now: Callable[[], datetime]
    _seen: dict[InstanceArn, Judgement] = field(default_factory=dict)
    _looked_at: datetime | None = None
    _lock: Lock = field(default_factory=Lock)

    def at(self, judgement: Judgement) -> Judgement:
        """An instance whose turn has come, as it is now: `is_untouched` if something has come between. It no longer waits."""
        with self._lock:
            arn = judgement.arn
            for _ in range(_LOOKS):
                if self._is_fresh(arn):
                    break
                self._look(arn)
            judgement = self.waiting.pop(arn)
            if self._is_fresh(arn):
                return self._seen[arn]
            return too_late(judgement, self.now())

    def _is_fresh(self, arn: InstanceArn) -> bool:
        return arn in self._seen and self._looked_at is not None and self.now() - self._looked_at <= GOOD_FOR

    def _look(self, first: InstanceArn) -> None:
        """Look at an instance whose turn has come, and at those that come next."""
        begun = self.now()
        arns = list(islice({first: None, **self.waiting}, _AT_ONCE))
        try:
            shut = self._shut(arns)
        except (*CALL_FAILURES, LedgerContended) as error:
            why = f"It could not be looked at again immediately before the change ({describe_error(error)})."
            shut = {arn: _not_ready(self.waiting[arn], why, self.now()) for arn in arns}
        untouched = {arn: replace(each, is_untouched=True) for arn, each in shut.items()}
        self._seen = {arn: untouched.get(arn, self.waiting[arn]) for arn in arns}
        self._looked_at = begun

    def _shut(self, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Judgement]:
        """Those that must not be changed as they are now. The others wait on with their present records."""
        records, targets, policy = self.read_ledger(arns), self.look(arns), self.policy()
        self.waiting |= {arn: replace(self.waiting[arn], record=records[arn]) for arn in arns}
        shut = {
            arn: between
            for arn in arns
            if (between := self._between(self.waiting[arn], targets[arn], policy)) is not None
        }
        return shut | dict(self.ask_gates([self.waiting[arn] for arn in arns if arn not in shut]))

    def _between(self, judgement: Judgement, target: Target, policy: Policy) -> Judgement | None:
        """What has come between since the instance was judged; None if nothing has."""
        if judgement.record.status != Status.ENFORCING or judgement.record.owner != self.request_id:
            return judgement  # Another run has taken it over: it is left `enforcing`, with its tag.
        return _between(judgement, target, policy, self.now())


def too_late(judgement: Judgement, now: datetime) -> Judgement:
    """The judgement on an instance that is left alone, because the look at it has become too old."""
    why = "EC2, the gates or the policy took too long to be looked at again immediately before the change."
    return replace(_not_ready(judgement, why, now), is_untouched=True)


def _between(judgement: Judgement, target: Target, policy: Policy, now: datetime) -> Judgement | None:
    if isinstance(target, Unreachable):
        return _not_ready(judgement, f"It could not be looked at immediately before the change: {target.problem}", now)
    if not isinstance(target, Instance):
        unseen = decide_unseen(target, judgement.record.history, policy, now)
        return replace(judgement.with_verdict(unseen), target=target)
    verdict = decide_without_evidence(target, judgement.record.history, policy, now)
    if verdict is not None:
        return replace(judgement.with_verdict(verdict), target=target)
    seen = judgement.instance
    assert seen is not None  # noqa: S101 - only an instance that EC2 shows is ever enforced
    if (target.state, target.launched_at) != (seen.state, seen.launched_at):
        return _not_ready(judgement, "It was started or stopped after its evidence had been read.", now)
    if replace(target.options, state=seen.options.state) != seen.options:
        return _not_ready(judgement, "Somebody changed its metadata options after its evidence had been read.", now)
    return None


def _not_ready(judgement: Judgement, why: str, now: datetime) -> Judgement:
    verdict = Verdict(
        decision=Decision.HOLD,
        reason=Reason.NOT_READY,
        explanation=f"{why} Nothing was changed; it is judged again in a quarter of an hour.",
        revisit_at=now + SOON,
    )
    return judgement.with_verdict(verdict)
