"""What travels through the line: the requests for one instance, and what has been found out and done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.domain.cohort import cohort_of
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import OURS, Status
from imdsv2.domain.verdict import Decision, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imdsv2.domain.evidence import Evidence
    from imdsv2.domain.instance import InstanceArn, MetadataOptions, Target
    from imdsv2.domain.request import Finding, Request, Source
    from imdsv2.domain.verdict import Verdict
    from imdsv2.ledger.record import Record


STATUS_OF = {Decision.ENFORCE: Status.WOULD_ENFORCE, Decision.HOLD: Status.HELD, Decision.SKIP: Status.SKIPPED}
"""What a decision makes of an instance before anything is done about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All requests for one instance in one run; they lead to one verdict."""

    arn: InstanceArn
    requests: tuple[Request, ...]

    @property
    def lead(self) -> Request:
        """The request that says how far the run may go: a person's, where there is one."""
        return next((each for each in self.requests if each.asked_by_person), self.requests[0])

    @property
    def source(self) -> Source:
        return self.lead.source

    @property
    def suppressed(self) -> bool:
        return any(each.suppressed for each in self.requests)

    @property
    def clear(self) -> bool:
        return any(each.clear for each in self.requests)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(each.finding for each in self.requests if each.finding is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What an owner is told before an instance is changed: whose it is, and when the notice ends."""

    owner: str
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One instance, judged. ``status`` is what the ledger says, or would say after a dry run."""

    case: Case
    record: Record
    verdict: Verdict
    status: Status
    target: Target | None = None
    evidence: Evidence | None = None
    after: MetadataOptions | None = None
    error: Mapping[str, str] | None = None
    permitted: bool | None = None
    canary: bool = False
    notice: Notice | None = None

    @property
    def arn(self) -> InstanceArn:
        return self.case.arn

    @property
    def instance(self) -> Instance | None:
        return self.target if isinstance(self.target, Instance) else None

    @property
    def leaves_enforcement_standing(self) -> bool:
        """Whether the ledger's word on an enforcement of ours, finished or not, outlives this verdict: EC2 shows what it
        wanted, has yet to apply it, or could not be asked."""
        if self.verdict.reason is Reason.NOT_READY:
            return self.record.status in {Status.ENFORCED, Status.VERIFIED} and self.record.history.stands
        says_nothing_against_it = {Reason.ALREADY_REQUIRED, Reason.UNREACHABLE, Reason.OUT_OF_SCOPE}
        return self.verdict.reason in says_nothing_against_it and self.record.status in OURS

    @property
    def cohort(self) -> str | None:
        return cohort_of(self.instance) if self.instance is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What became of each instance: judged, dropped as an echo, or failed for now (the request may be tried again)."""

    judged: dict[InstanceArn, Judgement]
    echoes: set[InstanceArn]
    failed: dict[InstanceArn, Exception]


def cases_of(requests: Iterable[Request]) -> dict[InstanceArn, Case]:
    """Bring the requests for each instance together."""
    by_arn: dict[InstanceArn, list[Request]] = {}
    for request in requests:
        by_arn.setdefault(request.arn, []).append(request)
    return {arn: Case(arn=arn, requests=tuple(several)) for arn, several in by_arn.items()}


def willing(judged: Iterable[Judgement]) -> list[Judgement]:
    """Those that the evidence lets enforce."""
    return [each for each in judged if each.verdict.decision is Decision.ENFORCE]
