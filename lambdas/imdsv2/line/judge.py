"""The first half of the line, which writes nothing: target -> evidence -> decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import look, running_instances
from imdsv2.domain.cohort import cohort_of
from imdsv2.domain.decision import decide, decide_scope, decide_without_evidence
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Request
from imdsv2.domain.verdict import Reason
from imdsv2.line.gather import gather
from imdsv2.line.judgement import STATUS_OF, Case, Judgement, willing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.evidence import Evidence
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.domain.policy import Policy
    from imdsv2.domain.verdict import Verdict
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger

_KEEPS_ROLLED_BACK = frozenset({Reason.BROKE_BEFORE, Reason.UNDONE_BY_PERSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Evaluates instances of one account and Region. ``now``: the clock."""

    members: Members
    ledger: Ledger
    policies: PolicySource
    now: Callable[[], datetime]

    def judge(
        self,
        cases: Sequence[Case],
        records: Mapping[InstanceArn, Record],
        seen: Mapping[InstanceArn, Target] | None = None,
    ) -> list[Judgement]:
        """Evaluate each case with its record; EC2 is not called for targets in ``seen``."""
        now = self.now()
        policy = self.policies.current(now).policy
        histories = {case.arn: records[case.arn].history for case in cases}
        scoped = {case.arn: decide_scope(case.arn, policy, now) for case in cases}
        targets = seen or look(self.members, [arn for arn, verdict in scoped.items() if verdict is None])
        unsettled = [
            target
            for arn, target in targets.items()
            if isinstance(target, Instance) and decide_without_evidence(target, histories[arn], policy, now) is None
        ]
        evidence = self._gather(unsettled, histories, policy, now)
        judged = []
        for case in cases:
            arn = case.arn
            verdict = scoped[arn] or decide(targets[arn], evidence.get(arn), histories[arn], policy, now)
            judged.append(
                Judgement(
                    case=case,
                    record=records[arn],
                    verdict=verdict,
                    status=_status(verdict, records[arn]),
                    target=targets.get(arn),
                    evidence=evidence.get(arn),
                )
            )
        return judged

    def look_further(self, judged: Sequence[Judgement], cohorts: set[str]) -> list[Judgement]:
        """Other running instances of these cohorts that could be enforced: canaries are chosen among all of them."""
        place, asked = judged[0].arn, {each.arn for each in judged}
        policy = self.policies.current(self.now()).policy
        running = {
            each.arn: each
            for each in running_instances(self.members.ec2(place, "read"), place)
            if each.arn not in asked and cohort_of(each) in cohorts
        }
        if not running or policy.canary is None:
            return []
        source = judged[0].case.source
        records = self.ledger.read(running)
        free = [arn for arn, record in records.items() if not record.is_busy(self.now())]
        cases = [Case(arn=arn, requests=(Request(arn=arn, source=source),)) for arn in free]
        return willing(self.judge(cases, records, {arn: running[arn] for arn in free}))

    def _gather(
        self,
        instances: Sequence[Instance],
        histories: Mapping[InstanceArn, History],
        policy: Policy,
        now: datetime,
    ) -> dict[InstanceArn, Evidence]:
        if not instances:
            return {}
        return gather(self.members.cloudwatch(instances[0].arn), instances, histories, policy, now)


def _status(verdict: Verdict, record: Record) -> Status:
    """What a verdict makes of an instance; one that was rolled back stays so for as long as that is what holds it."""
    if verdict.reason in _KEEPS_ROLLED_BACK and record.status == Status.ROLLED_BACK:
        return Status.ROLLED_BACK
    return STATUS_OF[verdict.decision]
