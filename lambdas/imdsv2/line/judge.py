"""The first half of the line, which changes nothing but what is known of cohorts: target -> evidence -> decision."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import look, running_instances
from imdsv2.domain.cohort import canaries_wanted, in_order
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.replacing import replace
from imdsv2.domain.request import Request
from imdsv2.domain.verdict import Reason
from imdsv2.domain.verdict_table.decision import decide, decide_doubt, decide_scope, decide_without_evidence
from imdsv2.line.canary_records import may_be_summoned
from imdsv2.line.evidence.gather import gather
from imdsv2.line.evidence.reboots import with_reboots
from imdsv2.line.judgement import STATUS_OF, Case, Further, Judgement, willing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.domain.policy import Policy
    from imdsv2.domain.request import Source
    from imdsv2.domain.verdict import Verdict
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.evidence.siblings import Siblings

_CANDIDATES_AT_ONCE = 100
"""The evidence of so many is in memory at a time: up to 350 KiB each, if the policy looks back for a year."""
_KEEPS_ROLLED_BACK = frozenset({Reason.BROKE_BEFORE, Reason.UNDONE_BY_PERSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Evaluates instances of one account and Region. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    policies: PolicySource
    siblings: Siblings
    now: Callable[[], datetime]

    def judge(
        self,
        cases: Sequence[Case],
        records: Mapping[InstanceArn, Record],
        seen: Mapping[InstanceArn, Target] | None = None,
        *,
        keep: bool = True,
    ) -> list[Judgement]:
        """Evaluate each case with its record; neither EC2 nor CloudTrail is called for targets in ``seen``. ``keep``: whether the
        ledger learns what was found of cohorts."""
        now = self.now()
        policy = self.policies.current(now).policy
        histories = {case.arn: records[case.arn].history for case in cases}
        scoped = {case.arn: decide_scope(case.arn, policy, now) for case in cases}
        in_doubt = {arn for arn in scoped if records[arn].is_unfinished}
        targets = seen or look(self.clients, [arn for arn, out in scoped.items() if out is None or arn in in_doubt])
        instances = [each for each in targets.values() if isinstance(each, Instance)]
        unsettled = [
            each for each in instances if decide_without_evidence(each, histories[each.arn], policy, now) is None
        ]
        evidence = self._gather(unsettled, histories, policy, now)
        if seen is None:  # Of candidates nothing is written, so that they would be asked about each time.
            evidence = with_reboots(self.clients, unsettled, evidence, histories, policy, now)
        cohorts = self.siblings.memberships.cohorts(instances, policy)
        judged = []
        for case in cases:
            arn = case.arn
            target, verdict = targets.get(arn), scoped[arn]
            if verdict is None:
                verdict = decide(targets[arn], evidence.get(arn), histories[arn], policy, now)
            elif target is not None and records[arn].status == Status.ENFORCING:
                verdict = decide_doubt(target, histories[arn], verdict, now)
            judged.append(
                Judgement(
                    case=case,
                    record=records[arn],
                    verdict=verdict,
                    status=_status(verdict, records[arn]),
                    target=target,
                    evidence=evidence.get(arn),
                    cohort=cohorts.get(arn),
                    owner=target.tags.get(policy.owner_tag) if isinstance(target, Instance) else None,
                )
            )
        return self._with_cohorts(judged, policy, now, keep=keep)

    def _with_cohorts(self, judged: list[Judgement], policy: Policy, now: datetime, *, keep: bool) -> list[Judgement]:
        """The judgements, after what the cohorts of those that may be enforced say against them, and for them."""
        pools = self.siblings.pooled(judged, policy, now, keep=keep)
        heard = []
        for each in judged:
            pool = pools.get(each.cohort) if each.cohort is not None else None
            if pool is None or each.target is None or each.evidence is None:
                heard.append(each)
                continue
            verdict = decide(each.target, each.evidence, each.record.history, policy, now, pool)
            heard.append(replace(each, verdict=verdict, status=_status(verdict, each.record)))
        return heard

    def look_further(self, judged: Sequence[Judgement], cohorts: set[str], *, keep: bool = True) -> Further:
        """Other running instances of these cohorts that could be enforced, in the canaries' order, until there are enough of
        them. Only ids and descriptions of all are kept: the evidence of a large cohort would not fit into memory."""
        place, asked = judged[0].arn, {each.arn for each in judged}
        policy = self.policies.current(self.now()).policy
        running = {
            each.arn: each
            for each in running_instances(self.clients.ec2(place, "read"), place)
            if each.arn not in asked
        }
        named = self.siblings.memberships.cohorts(running.values(), policy)
        running = {arn: each for arn, each in running.items() if named[arn] in cohorts}
        if not running or policy.canary is None:
            return Further()
        unseen: dict[str, list[InstanceArn]] = {}
        for arn in in_order(running):
            unseen.setdefault(str(named[arn]), []).append(arn)
        found: dict[str, list[Judgement]] = {key: [] for key in unseen}
        beside = Counter(each.cohort for each in willing(judged))
        while batch := _next(unseen, found, beside, policy.canary.share):
            for each in self._judge_running({arn: running[arn] for arn in batch}, judged[0].case.source, keep=keep):
                found[str(named[each.arn])].append(each)
        return Further(
            willing=[each for several in found.values() for each in several],
            unseen={key: len(arns) for key, arns in unseen.items()},
        )

    def _judge_running(self, running: Mapping[InstanceArn, Target], source: Source, *, keep: bool) -> list[Judgement]:
        """Those of some running instances that could be enforced and may be chosen as canaries."""
        records = self.ledger.read(running)
        free = [arn for arn, record in records.items() if not record.is_busy(self.now()) and may_be_summoned(record)]
        cases = [Case(arn=arn, requests=(Request(arn=arn, source=source),)) for arn in free]
        return willing(self.judge(cases, records, {arn: running[arn] for arn in free}, keep=keep)) if free else []

    def _gather(
        self,
        instances: Sequence[Instance],
        histories: Mapping[InstanceArn, History],
        policy: Policy,
        now: datetime,
    ) -> dict[InstanceArn, Evidence]:
        if not instances:
            return {}
        return gather(self.clients.cloudwatch(instances[0].arn), instances, histories, policy, now)


def _next(
    unseen: Mapping[str, list[InstanceArn]],
    found: Mapping[str, Sequence[Judgement]],
    beside: Mapping[str | None, int],
    share: float,
) -> list[InstanceArn]:
    """Take the next instances from the cohorts that still lack canaries, even if all others there were willing."""
    batch: list[InstanceArn] = []
    for key, arns in unseen.items():
        if len(found[key]) < canaries_wanted(share, len(found[key]) + beside.get(key, 0), unseen=len(arns)):
            room = _CANDIDATES_AT_ONCE - len(batch)
            batch += arns[:room]
            del arns[:room]
    return batch


def _status(verdict: Verdict, record: Record) -> Status:
    """What a verdict makes of an instance; one that was rolled back stays so for as long as that is what holds it."""
    if verdict.reason in _KEEPS_ROLLED_BACK and record.status == Status.ROLLED_BACK:
        return Status.ROLLED_BACK
    return STATUS_OF[verdict.decision]
