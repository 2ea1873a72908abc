"""The line: target -> evidence -> decision -> gate -> action -> record, for any list of instances, once through.

Work is grouped by account and Region before it touches AWS; groups run side by side, and one that fails fails alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsv2.aws import metadata_options as action
from imdsv2.aws.ec2 import describe, running_instances, unreachable
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.cohort import cohort_of
from imdsv2.domain.decision import decide, decide_scope, decide_without_evidence
from imdsv2.domain.history import History
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Mode, Policy
from imdsv2.domain.request import Request
from imdsv2.domain.verdict import Decision, Reason, Verdict
from imdsv2.errors import LedgerContended
from imdsv2.ledger.table import key_of
from imdsv2.line import record
from imdsv2.line.enforce import Enforcement
from imdsv2.line.gather import gather
from imdsv2.line.judgement import Case, Judgement, Outcomes, cases_of
from imdsv2.line.record import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import Members, Role
    from imdsv2.domain.evidence import Evidence
    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.table import Entry, Ledger
    from imdsv2.line.gate import Gates
    from imdsv2.line.tell import Teller

_TRIES = 3
_CALLS_AT_ONCE = 8
_GROUPS_AT_ONCE = 8
"""Accounts and Regions side by side: a slow one holds up only its own."""
_AWS_FAILURES = (*CALL_FAILURES, LedgerContended)
_HALVINGS = 6
"""How often a group is halved to find the instance that nobody can work on; a defect that all share must end too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The service with everything it needs to act; handlers build it once.

    Args:
        lease: longer than the function may run.
        now: the clock.
    """

    members: Members
    ledger: Ledger
    policies: PolicySource
    gates: Gates
    teller: Teller
    lease: timedelta
    now: Callable[[], datetime]
    logger: Logger

    def run(self, requests: Iterable[Request], request_id: str, *, dry_run: bool = False) -> Outcomes:
        """Judge every instance named, and act on what may be acted on. Never raises for one group's sake."""
        outcomes = Outcomes(judged={}, echoes=set(), failed={})
        with ThreadPoolExecutor(_GROUPS_AT_ONCE) as pool:
            for _ in pool.map(
                lambda group: self._run_alone(group, request_id, outcomes, dry_run=dry_run), _groups(requests)
            ):
                pass
        if not dry_run:
            self._give_notice(outcomes)
        return outcomes

    def _give_notice(self, outcomes: Outcomes) -> None:
        """Owners are told of all their instances at once, whatever place they lie in."""
        told_of = [arn for arn, each in outcomes.judged.items() if each.verdict.reason is Reason.NOTICE_GIVEN]
        try:
            self._tell(told_of)
        except Exception as error:
            self.logger.exception("notice not given")
            outcomes.failed.update(dict.fromkeys(told_of, error))

    def _run_alone(
        self, group: Sequence[Case], request_id: str, outcomes: Outcomes, *, dry_run: bool, halvings: int = _HALVINGS
    ) -> None:
        """A defect that one instance brings about must not keep the others of its place waiting for ever."""
        try:
            if dry_run:
                outcomes.judged.update({each.arn: each for each in self._dry_run(group)})
            else:
                self._run_group(group, request_id, outcomes)
        except Exception as error:
            place = {"account": group[0].arn.account, "region": group[0].arn.region}
            self.logger.exception("group failed", extra=place)
            left = [case for case in group if case.arn not in outcomes.judged and case.arn not in outcomes.echoes]
            if isinstance(error, _AWS_FAILURES) or not halvings or len(left) == 1:
                outcomes.failed.update({case.arn: error for case in left})
                return
            for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                self._run_alone(half, request_id, outcomes, dry_run=dry_run, halvings=halvings - 1)

    def _dry_run(self, group: Sequence[Case]) -> list[Judgement]:
        judged = self._judge(group, self.ledger.read(case.arn for case in group))
        held = self.gates.ask(_willing(judged), lambda cohorts: self._look_further(judged, cohorts), dry_run=True).held
        judged = [held.get(each.arn, each) for each in judged]
        # A sweep's answer has no place for it, and each question counts against the quota for changes.
        of_interest = [each for each in _willing(judged) if each.case.lead.asked_by_person]
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            asked = {each.arn: each for each in pool.map(self._ask_ec2, of_interest)}
        return [asked.get(each.arn, each) for each in judged]

    def _ask_ec2(self, judgement: Judgement) -> Judgement:
        try:
            permitted, problem = action.is_permitted(self.members.ec2(judgement.arn, "write"), judgement.arn)
        except CALL_FAILURES as error:
            permitted, problem = None, describe_error(error)
        unknown = {"code": "PermissionUnknown", "message": problem} if problem else None
        return replace(judgement, permitted=permitted, error=unknown)

    def _run_group(self, group: Sequence[Case], request_id: str, outcomes: Outcomes) -> None:
        self.policies.keep(self.now())
        pending = list(group)
        for _ in range(_TRIES):
            entries = self.ledger.read(case.arn for case in pending)
            fresh = [
                remaining for case in pending if (remaining := _without_echoes(case, entries[case.arn])) is not None
            ]
            echoes = {case.arn for case in pending} - {case.arn for case in fresh}
            outcomes.echoes.update(echoes)
            busy = [case for case in fresh if _is_busy(entries[case.arn], self.now())]
            outcomes.judged.update({case.arn: self._join(case, entries[case.arn]) for case in busy})
            judged = self._judge([case for case in fresh if case not in busy], entries)
            ended, overtaken = self._act(judged, request_id)
            outcomes.judged.update({each.arn: each for each in ended})
            owing = {arn for arn in echoes if entries[arn].owes_notification() or entries[arn].owed_notes()}
            in_notice = {each.arn for each in ended if each.verdict.reason is Reason.NOTICE_GIVEN}
            self._tell(owing | ({case.arn for case in fresh} - overtaken - in_notice))
            pending = [case for case in fresh if case.arn in overtaken]
            if not pending:
                return
        contended = LedgerContended("others keep changing these instances in the ledger; this is tried again")
        outcomes.failed.update({case.arn: contended for case in pending})

    def _join(self, case: Case, entry: Entry) -> Judgement:
        """Somebody is changing the instance right now: leave the findings for him to annotate, and say so."""
        for finding in case.findings:
            if key_of(finding) not in entry.findings:
                self.ledger.add_finding(entry, replace(finding, updated_at=None))
        if entry.status == Status.ROLLING_BACK:
            why = "This instance is being rolled back right now; the outcome will be in the ledger."
            verdict = Verdict(decision=Decision.HOLD, reason=Reason.BROKE_BEFORE, explanation=why)
        else:
            why = "Another run is enforcing this instance right now; its outcome will be in the ledger."
            verdict = Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation=why)
        error = {"code": "InProgress", "message": why} if case.clear else None
        return Judgement(case=case, entry=entry, verdict=verdict, status=Status(str(entry.status)), error=error)

    def _judge(
        self,
        cases: Sequence[Case],
        entries: Mapping[InstanceArn, Entry],
        seen: Mapping[InstanceArn, Target] | None = None,
    ) -> list[Judgement]:
        """Target (unless it was just seen), evidence, decision; nothing is written."""
        now = self.now()
        policy = self.policies.current(now).policy
        histories = {case.arn: _history(case, entries[case.arn], now) for case in cases}
        scoped = {case.arn: decide_scope(case.arn, policy, now) for case in cases}
        targets = seen or self._look([arn for arn, verdict in scoped.items() if verdict is None])
        unsettled = [
            target
            for arn, target in targets.items()
            if isinstance(target, Instance) and decide_without_evidence(target, histories[arn], policy, now) is None
        ]
        evidence = self._gather(unsettled, policy, now)
        judged = []
        for case in cases:
            arn = case.arn
            verdict = scoped[arn] or decide(targets[arn], evidence.get(arn), histories[arn], policy, now)
            judged.append(
                Judgement(
                    case=case,
                    entry=entries[arn],
                    verdict=verdict,
                    status=_status(verdict, entries[arn]),
                    target=targets.get(arn),
                    evidence=evidence.get(arn),
                )
            )
        return judged

    def _look_further(self, judged: Sequence[Judgement], cohorts: set[str]) -> list[Judgement]:
        """Instances of cohorts that were not asked about and could be enforced: canaries are chosen among all."""
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
        entries = self.ledger.read(running)
        free = [arn for arn, entry in entries.items() if not _is_busy(entry, self.now())]
        cases = [Case(arn=arn, requests=(Request(arn=arn, source=source),)) for arn in free]
        return _willing(self._judge(cases, entries, {arn: running[arn] for arn in free}))

    def _look(self, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Target]:
        if not arns:
            return {}
        try:
            ec2 = self.members.ec2(arns[0], "read")
        except CALL_FAILURES as error:
            return {arn: unreachable(arn, error) for arn in arns}
        return describe(ec2, arns)

    def _gather(self, instances: Sequence[Instance], policy: Policy, now: datetime) -> dict[InstanceArn, Evidence]:
        return gather(self.members.cloudwatch(instances[0].arn), instances, policy, now) if instances else {}

    def _act(self, judged: Sequence[Judgement], request_id: str) -> tuple[list[Judgement], set[InstanceArn]]:
        """Gate, enforce and record. Returns the judgements as they ended, and the instances that others overtook."""
        asked = self.gates.ask(_willing(judged), lambda cohorts: self._look_further(judged, cohorts))
        held, willing = asked.held, asked.open
        try:
            enforcement = self._enforcement(willing)
        except CALL_FAILURES as error:
            held = held | {each.arn: self._unwritable(each, error) for each in willing}
            willing, enforcement = [], None
        ahead = [record.enforcing(each, self._signed(each, request_id), self.lease, self.now()) for each in willing]
        overtaken = self.ledger.write(ahead, self.now())
        taken = {change.entry.arn: change.applied() for change in ahead if change.entry.arn not in overtaken}
        mine = [replace(each, entry=taken[each.arn], status=Status.ENFORCING) for each in willing if each.arn in taken]
        enforced = {each.arn: each for each in enforcement.run(mine)} if enforcement and mine else {}
        ended = [enforced.get(each.arn) or held.get(each.arn) or each for each in judged if each.arn not in overtaken]
        self._untag_leftovers(ended)
        final = {
            each.arn: record.final(each, self._signed(each, request_id), self.now())
            for each in ended
            if each.status is not Status.ENFORCING
        }
        summoned = [
            record.summoned(each, self._signed(each, request_id), self.now())
            for each in asked.summoned
            if each.arn not in final
        ]
        overtaken |= self.ledger.write([*final.values(), *summoned], self.now()) & final.keys()
        # Not before what was done is written: should this fail, it costs others some room for an hour, and no more.
        unused = [each for each in asked.open if not _has_begun(enforced.get(each.arn))]
        self.gates.give_back(unused, asked.reserved_at)
        recorded = [_as_recorded(each, final[each.arn].applied()) if each.arn in final else each for each in ended]
        return [each for each in recorded if each.arn not in overtaken], overtaken

    def _signed(self, judgement: Judgement, request_id: str) -> Signature:
        role: Role = "write" if judgement.verdict.decision is Decision.ENFORCE else "read"
        return Signature(request_id=request_id, session=self.members.session_name(judgement.arn, role))

    def _enforcement(self, willing: Sequence[Judgement]) -> Enforcement | None:
        if not willing:
            return None
        return Enforcement(
            read=self.members.ec2(willing[0].arn, "read"),
            write=self.members.ec2(willing[0].arn, "write"),
            ask_gates=self.gates.ask_again,
            ask_policy=self.gates.ask_policy,
            now=self.now,
            logger=self.logger,
        )

    def _unwritable(self, judgement: Judgement, error: Exception) -> Judgement:
        verdict = decide_without_evidence(unreachable(judgement.arn, error), History(), Policy(), self.now())
        assert verdict is not None  # noqa: S101 - row 2 settles what cannot be reached
        return replace(judgement, verdict=verdict, status=Status.HELD)

    def _untag_leftovers(self, ended: Iterable[Judgement]) -> None:
        """Whoever was enforcing may have died after the tag and before EC2; an instance we do not enforce bears none."""
        left = [
            each.arn
            for each in ended
            if each.entry.status == Status.ENFORCING
            and each.status not in {Status.ENFORCING, Status.ENFORCED}
            and not each.leaves_enforcement_standing
            and each.verdict.reason is not Reason.GONE
            and each.instance is not None
            and action.ENFORCED_TAG in each.instance.tags
        ]
        if not left:
            return
        try:
            action.untag(self.members.ec2(left[0], "write"), left)
        except CALL_FAILURES as error:
            self.logger.warning(
                "tag left behind", extra={"targets": [str(arn) for arn in left], "problem": describe_error(error)}
            )

    def _tell(self, arns: Collection[InstanceArn]) -> None:
        if not arns:
            return
        workflow = self.policies.current(self.now()).policy.mode is not Mode.OBSERVE
        self.teller.tell(sorted(arns), self.now(), workflow=workflow)


_STATUS = {Decision.ENFORCE: Status.WOULD_ENFORCE, Decision.HOLD: Status.HELD, Decision.SKIP: Status.SKIPPED}


def _status(verdict: Verdict, entry: Entry) -> Status:
    """What a verdict makes of an instance; one that was rolled back stays so for as long as that is what holds it."""
    if verdict.reason is Reason.BROKE_BEFORE and entry.status == Status.ROLLED_BACK:
        return Status.ROLLED_BACK
    return _STATUS[verdict.decision]


def _is_busy(entry: Entry, now: datetime) -> bool:
    """Whether somebody is changing the instance; a rollback that was left behind is the guard's to finish."""
    return entry.is_leased(now) or entry.status == Status.ROLLING_BACK


def _has_begun(enforced: Judgement | None) -> bool:
    """Whether the change was made, or may have been."""
    if enforced is None:
        return False
    return enforced.status in {Status.ENFORCING, Status.ENFORCED} or enforced.after is not None


def _groups(requests: Iterable[Request]) -> list[list[Case]]:
    groups: dict[tuple[str, str, str], list[Case]] = {}
    for arn, case in cases_of(requests).items():
        groups.setdefault((arn.partition, arn.account, arn.region), []).append(case)
    return list(groups.values())


def _willing(judged: Iterable[Judgement]) -> list[Judgement]:
    return [each for each in judged if each.verdict.decision is Decision.ENFORCE]


def _without_echoes(case: Case, entry: Entry) -> Case | None:
    """What is left of a case once the requests are dropped that have already been answered; None if that is all."""
    left = tuple(
        each
        for each in case.requests
        if each.asked_by_person or each.finding is None or not entry.is_echo(each.finding)
    )
    return replace(case, requests=left) if left else None


def _history(case: Case, entry: Entry, now: datetime) -> History:
    return entry.cleared(now).history if case.clear else entry.history


def _as_recorded(judgement: Judgement, entry: Entry) -> Judgement:
    return replace(judgement, entry=entry, status=Status(str(entry.status)))
