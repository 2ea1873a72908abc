"""The values that pass through the line: the requests for an instance, the judgement on it, and the outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsv2.domain.cohort import image_key
from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import OURS, Status
from imdsv2.domain.replacing import replace
from imdsv2.domain.verdict import Decision, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import InstanceArn, MetadataOptions, Target
    from imdsv2.domain.request import Finding, Request, Source
    from imdsv2.domain.verdict import Verdict
    from imdsv2.ledger.record import Record


STATUS_OF = {Decision.ENFORCE: Status.WOULD_ENFORCE, Decision.HOLD: Status.HELD, Decision.SKIP: Status.SKIPPED}
"""The status for each decision before any enforcement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All requests for one instance in one run; they lead to one verdict."""

    arn: InstanceArn
    requests: tuple[Request, ...]

    @property
    def lead(self) -> Request:
        """The request that determines how far the run may go: a person's, if there is one."""
        return next((each for each in self.requests if each.asked_by_person), self.requests[0])

    @property
    def source(self) -> Source:
        return self.lead.source

    @property
    def suppressed(self) -> bool:
        return any(each.suppressed for each in self.requests)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(each.finding for each in self.requests if each.finding is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The notice to an owner before an instance is changed: the owner, and when it ends (None: not delivered yet)."""

    owner: str
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The evaluation of one instance.

    ``status``: its status in the ledger, or after a dry run, what it would be. ``asked_at``: just before EC2 was asked to
    require tokens. ``is_untouched``: this run wrote `enforcing`, and then did not ask EC2 after all. ``tag_left``: the
    service's tag may be there though nothing was changed. ``wants_endpoint``: EC2 demanded that the call names the endpoint.
    ``is_denied_to_all``: EC2's refusal would meet all that run the same software. ``is_told_already``: people have been told of
    another instance, for all that run the same software. ``owner``: as its tag says.
    """

    case: Case
    record: Record
    verdict: Verdict
    status: Status
    target: Target | None = None
    evidence: Evidence | None = None
    after: MetadataOptions | None = None
    error: Mapping[str, str] | None = None
    permitted: bool | None = None
    cohort: str | None = None
    canary: bool = False
    notice: Notice | None = None
    asked_at: datetime | None = None
    is_untouched: bool = False
    tag_left: bool = False
    wants_endpoint: bool = False
    is_denied_to_all: bool = False
    is_told_already: bool = False
    owner: str | None = None

    @property
    def arn(self) -> InstanceArn:
        return self.case.arn

    def with_verdict(self, verdict: Verdict) -> Judgement:
        """The judgement with another verdict, and the status that it leads to where nothing is enforced."""
        return replace(self, verdict=verdict, status=STATUS_OF[verdict.decision])

    @property
    def instance(self) -> Instance | None:
        return self.target if isinstance(self.target, Instance) else None

    @property
    def denied_with(self) -> str | None:
        """The key under which is kept what an organisation forbids: its cohort's, or, in none, its AMI's. Whoever owns that, what is
        forbidden to one instance is likely to be forbidden to the next; which software they run does not matter."""
        if self.cohort is not None or self.instance is None or not self.instance.image_id:
            return self.cohort
        return image_key(self.arn, self.instance.image_id)

    @property
    def leaves_enforcement_standing(self) -> bool:
        """Whether this verdict leaves the ledger's enforcement in place, finished or not: tokens are required as
        intended, EC2 has yet to apply the change, or the instance was not examined. What required tokens before this run asked
        for it is not the service's."""
        if self.is_untouched:
            return False
        if self.verdict.reason is Reason.NOT_READY:
            return self.record.status in {Status.ENFORCED, Status.VERIFIED} and self.record.history.stands
        if self.verdict.reason is Reason.OUT_OF_SCOPE and self.record.status == Status.ENFORCING and self.instance:
            return False  # It was looked at because its enforcement was interrupted, and that is not in force.
        says_nothing_against_it = {Reason.ALREADY_REQUIRED, Reason.UNREACHABLE, Reason.OUT_OF_SCOPE}
        return self.verdict.reason in says_nothing_against_it and self.record.status in OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """``willing``: instances that could be enforced, the first in the canaries' order; ``unseen``: for each cohort, how many were
    not evaluated, because enough had been found."""

    willing: list[Judgement] = field(default_factory=list)
    unseen: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """The result per instance: judged, echo (its finding's state was already answered), or failed (may be retried)."""

    judged: dict[InstanceArn, Judgement]
    echoes: set[InstanceArn]
    failed: dict[InstanceArn, Exception]


def cases_of(requests: Iterable[Request]) -> dict[InstanceArn, Case]:
    """Group requests by instance."""
    by_arn: dict[InstanceArn, list[Request]] = {}
    for request in requests:
        by_arn.setdefault(request.arn, []).append(request)
    return {arn: Case(arn=arn, requests=tuple(several)) for arn, several in by_arn.items()}


def willing(judged: Iterable[Judgement]) -> list[Judgement]:
    """The judgements whose evidence permits enforcement."""
    return [each for each in judged if each.verdict.decision is Decision.ENFORCE]
