"""What is written of a record, and the rows of the index of enforced instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from imdsv2.domain.lifecycle import Status
from imdsv2.domain.replacing import replace
from imdsv2.ledger.finding_key import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.trail import Author

VERDICT = (
    "status",
    "decision",
    "reason",
    "explanation",
    "error",
    "source",
    "request_id",
    "session",
    "caller",
)
"""The attributes that the event of a new verdict includes."""

Until: TypeAlias = "datetime | Mapping[InstanceArn, datetime]"
"""A time for all, or one for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A conditional write of a record: fails if the record has changed since ``before`` was read.

    Only differences are written. ``findings`` are merged into the map one by one, so they never replace others.
    ``says``: the attributes that the event of a status change includes. ``by``: who makes the change, where the record does not say so.
    ``unless_due``: fails as well if somebody has made it due since, because a gate was opened that this change does not know of.
    """

    before: Record
    after: Record
    findings: tuple[Finding, ...] = ()
    says: tuple[str, ...] = ("status",)
    by: Author | None = None
    unless_due: bool = False

    @property
    def arn(self) -> InstanceArn:
        return self.before.arn

    def applied(self) -> Record:
        """The record after the write."""
        known = self.before.findings
        findings = {**known, **{key_of(finding, known): finding for finding in self.findings}}
        return replace(self.after, version=self.before.version + 1, written_by=None, findings=findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """An enforced instance, as read from the index of enforced instances, which is eventually consistent.

    ``asked_back``: a person has requested a rollback. ``broken``: its software broke.
    """

    arn: InstanceArn
    status: str
    enforced_at: datetime
    restarted_at: datetime | None
    cohort: str | None
    asked_back: bool = False
    broken: bool = False

    @property
    def awaits_start(self) -> bool:
        """Whether it was verified and not seen to start since, and nothing else is to be done: only its next start matters."""
        is_proved = self.status == Status.VERIFIED and self.restarted_at is None
        return is_proved and not self.asked_back and not self.broken
