"""The line: evaluates, enforces and notifies for any list of instances: judge -> act -> tell.

Work is grouped by account and Region; groups run in parallel and fail independently.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES
from imdsv2.domain.instance import Place
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Mode
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import Decision, Reason, Verdict
from imdsv2.errors import LedgerContended, TimeExhausted
from imdsv2.ledger.finding_key import key_of
from imdsv2.line.judgement import Case, Judgement, Outcomes, cases_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Request
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.act import Action
    from imdsv2.line.judge import Judge
    from imdsv2.line.tell import Teller

_TRIES = 3
_GROUPS_AT_ONCE = 8
"""Accounts and Regions in parallel, so that a slow one delays only itself."""
_AWS_FAILURES = (*CALL_FAILURES, LedgerContended)
_HALVINGS = 6
"""How often a failing group is halved to isolate the instance that causes it; bounded, in case all of them fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The line and everything it needs; handlers build it once. ``now``: the clock."""

    ledger: Ledger
    policies: PolicySource
    judge: Judge
    action: Action
    teller: Teller
    now: Callable[[], datetime]
    logger: Logger

    def run(self, requests: Iterable[Request], request_id: str, *, dry_run: bool = False) -> Outcomes:
        """Evaluate every requested instance and act on the verdicts. A failed group is in the outcomes, not raised."""
        outcomes = Outcomes(judged={}, echoes=set(), failed={})
        with ThreadPoolExecutor(_GROUPS_AT_ONCE) as pool:
            for _ in pool.map(
                lambda group: self._run_alone(group, request_id, outcomes, dry_run=dry_run), _groups(requests)
            ):
                pass
        if not dry_run:
            self._give_notice(outcomes)
        return outcomes

    def judged_since(self, since: datetime, arns: Iterable[InstanceArn]) -> dict[InstanceArn, str]:
        """The reasons of those that wait with a verdict made since then, and are judged again without anybody's asking."""
        return {
            arn: str(record.reason)
            for arn, record in self.ledger.read(arns).items()
            if record.status in {Status.WOULD_ENFORCE, Status.HELD}
            and record.revisit_at is not None
            and record.decided_at is not None
            and record.decided_at >= since
        }

    def _give_notice(self, outcomes: Outcomes) -> None:
        """Notify owners of all their instances at once, across accounts and Regions."""
        told_of = [arn for arn, each in outcomes.judged.items() if each.verdict.reason is Reason.NOTICE_GIVEN]
        try:
            self._tell(told_of)
        except Exception as error:
            self.logger.exception("notice not given")
            outcomes.failed.update(dict.fromkeys(told_of, error))

    def _run_alone(
        self, group: Sequence[Case], request_id: str, outcomes: Outcomes, *, dry_run: bool, halvings: int = _HALVINGS
    ) -> None:
        """Run one group. If one instance triggers a defect, the group is halved so that the others go on. Where no time is left, it is
        not begun: whatever this function has done would come back with it, if it were ended meanwhile."""
        place = {"account": group[0].arn.account, "region": group[0].arn.region}
        if not self.judge.clients.has_time():
            self.logger.warning("group put off", extra=place)
            outcomes.failed.update({case.arn: TimeExhausted("judgement", Place.of(case.arn)) for case in group})
            return
        try:
            if dry_run:
                outcomes.judged.update({each.arn: each for each in self._rehearse(group)})
            else:
                self._run_group(group, request_id, outcomes)
        except Exception as error:
            self.logger.exception("group failed", extra=place)
            left = [case for case in group if case.arn not in outcomes.judged and case.arn not in outcomes.echoes]
            if isinstance(error, _AWS_FAILURES) or not halvings or len(left) <= 1:
                outcomes.failed.update({case.arn: error for case in left})
                return
            for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                self._run_alone(half, request_id, outcomes, dry_run=dry_run, halvings=halvings - 1)

    def _rehearse(self, group: Sequence[Case]) -> list[Judgement]:
        judged = self.judge.judge(group, self.ledger.read(case.arn for case in group), keep=False)
        return self.action.rehearse(judged, partial(self.judge.look_further, judged, keep=False))

    def _run_group(self, group: Sequence[Case], request_id: str, outcomes: Outcomes) -> None:
        self.policies.keep(self.now())
        pending = list(group)
        for _ in range(_TRIES):
            records = self.ledger.read(case.arn for case in pending)
            fresh = [
                remaining for case in pending if (remaining := _without_echoes(case, records[case.arn])) is not None
            ]
            echoes = {case.arn for case in pending} - {case.arn for case in fresh}
            outcomes.echoes.update(echoes)
            busy = [case for case in fresh if records[case.arn].is_busy(self.now())]
            outcomes.judged.update({case.arn: self._join(case, records[case.arn]) for case in busy})
            left = [case for case in fresh if case not in busy]
            taken, taking = self.action.take_over({case.arn: records[case.arn] for case in left}, request_id)
            judged = self.judge.judge([case for case in left if case.arn not in taking.lost], taken)
            ended, acting = self.action.act(judged, partial(self.judge.look_further, judged), request_id)
            written = taking | acting
            outcomes.judged.update({each.arn: each for each in ended})
            outcomes.failed.update(written.logged(self.logger).failed)
            owing = {arn for arn in echoes if records[arn].owes_notification() or records[arn].owed_notes()}
            in_notice = {each.arn for each in ended if each.verdict.reason is Reason.NOTICE_GIVEN}
            self._tell(owing | ({case.arn for case in fresh} - written.lost - in_notice))
            pending = [case for case in fresh if case.arn in written.overtaken]
            if not pending:
                return
        contended = LedgerContended("others keep changing these instances in the ledger; this is tried again")
        outcomes.failed.update({case.arn: contended for case in pending})

    def _join(self, case: Case, record: Record) -> Judgement:
        """For an instance that is being changed right now: leave the findings to that run, and report this."""
        for finding in case.findings:
            if key_of(finding, record.findings) not in record.findings:
                self.ledger.add_finding(record, replace(finding, updated_at=None))
        if record.status == Status.ROLLING_BACK:
            why = "This instance is being rolled back right now; the outcome will be in the ledger."
            verdict = Verdict(decision=Decision.HOLD, reason=Reason.BROKE_BEFORE, explanation=why)
        elif record.status == Status.ROLLED_BACK:
            why = "This instance was rolled back just now, and people are being told; it is judged again after that."
            verdict = Verdict(decision=Decision.HOLD, reason=Reason(str(record.reason)), explanation=why)
        else:
            why = "Another run is enforcing this instance right now; its outcome will be in the ledger."
            verdict = Verdict(decision=Decision.ENFORCE, reason=Reason.UNUSED, explanation=why)
        return Judgement(case=case, record=record, verdict=verdict, status=Status(str(record.status)))

    def _tell(self, arns: Collection[InstanceArn]) -> None:
        if not arns:
            return
        workflow = self.policies.current(self.now()).policy.mode is not Mode.OBSERVE
        self.teller.tell(sorted(arns), self.now(), workflow=workflow)


def _groups(requests: Iterable[Request]) -> list[list[Case]]:
    groups: dict[Place, list[Case]] = {}
    for arn, case in cases_of(requests).items():
        groups.setdefault(Place.of(arn), []).append(case)
    return list(groups.values())


def _without_echoes(case: Case, record: Record) -> Case | None:
    """The case without requests whose finding state was already answered (echoes); None if nothing is left."""
    left = tuple(each for each in case.requests if not _is_echo(each, record))
    return replace(case, requests=left) if left else None


def _is_echo(request: Request, record: Record) -> bool:
    if request.asked_by_person or request.finding is None:
        return False
    if record.reason == Reason.SUPPRESSED and not request.suppressed:
        return False  # Somebody may have set it back to NEW: that changes the finding, and not the time of its last update.
    return record.is_echo(request.finding)
