"""An instance that is to be put back, what came of it, and the record's next states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from imdsv2.domain.instance import Instance
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import command
from imdsv2.domain.verdict import DAILY, Decision, Reason
from imdsv2.guard.obstacle import obstacle
from imdsv2.ledger.change import Change
from imdsv2.ledger.record_values import COUNT, OPEN, TAG

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn, Target
    from imdsv2.ledger.record import Record

_UNDONE = "It is held, and what runs the same software waits, until a person clears it"
_BROKEN = (
    "Restart what gave up meanwhile. It is held, and what runs the same software waits, until the software is updated and a person "
    "clears it"
)
"""What people have to do once it is put back, and a command follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest:
    """An instance that is to be put back, and why, in a sentence. ``broken``: its software broke, whoever wants it back."""

    record: Record
    target: Target
    why: str
    broken: bool
    source: Source
    caller: str | None = None

    @property
    def arn(self) -> InstanceArn:
        return self.record.arn

    @property
    def is_by_person(self) -> bool:
        return self.source is Source.MANUAL

    @property
    def is_done_already(self) -> bool:
        """Whether EC2 shows tokens as optional already: an earlier run crashed after the change, or EC2 was late to show it. To a
        stopped instance it applies the change at the next start."""
        target, is_accepted = self.target, self.record.returned_at is not None
        return isinstance(target, Instance) and (
            target.options.http_tokens == "optional" or (is_accepted and target.state == "stopped")
        )

    @property
    def is_in_doubt(self) -> bool:
        """Whether EC2 has accepted the change and does not show it yet: it is not asked again."""
        return (
            self.record.status == Status.ROLLING_BACK
            and self.record.returned_at is not None
            and not self.is_done_already
        )


class End(StrEnum):
    """The result of a rollback."""

    ROLLED_BACK = "rolled_back"
    LEFT = "left"
    """It is not permitted or not possible; a person is told why."""
    LATER = "later"
    """Throttled, unfinished, or another run was faster: the next pass continues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackResult:
    """The result of a `RollbackRequest`; ``problem`` says why it was not made, and ``kind`` the same without words that vary from call to
    call. ``is_accepted``: EC2 took the call and has yet to show it. ``wants_endpoint``: EC2 demanded that the call names the endpoint,
    for the first time. ``owes_tag``: its tag is still to be replaced."""

    asked: RollbackRequest
    end: End
    record: Record
    problem: str | None = None
    kind: str | None = None
    is_accepted: bool = False
    wants_endpoint: bool = False
    owes_tag: bool = False

    @property
    def arn(self) -> InstanceArn:
        return self.asked.arn

    @property
    def is_begun_in_vain(self) -> bool:
        """Whether an earlier run crashed before EC2 made the change."""
        return self.record.status == Status.ROLLING_BACK and not self.asked.is_done_already

    def rolled_back(self, now: datetime) -> Record:
        """The record once tokens are optional again. What the guard recorded as broken stays so, whoever put it back."""
        asked = self.asked
        record = replace(
            self.record,
            status=Status.ROLLED_BACK,
            decision=Decision.HOLD,
            reason=Reason.BROKE_BEFORE if asked.broken else Reason.UNDONE_BY_PERSON,
            explanation=f"{asked.why} Tokens are optional again, as they were before. {_BROKEN if asked.broken else _UNDONE}: "
            f"{command('clear', self.arn)}",
            after={**(self.record.after or {}), "HttpTokens": "optional"},
            changed_at=now,
            decided_at=now,
            watch=OPEN,  # Until all that is owed is done, people's being told included.
            owes=frozenset({*({COUNT} if asked.broken else ()), *({TAG} if self.owes_tag else ())}),
            left_because=None,
            undo=None,
            status_before=None,
            returned_at=None,
            endpoint_wanted_at=None,
            owner=None,
            lease_until=None,
            revisit_at=now + DAILY,
        )
        if asked.is_by_person:
            record = replace(record, undone_at=now, undone_by=asked.caller)
        if asked.broken:
            broken_at = record.broken_at if record.is_broken else now
            record = replace(record, rolled_back_at=now, broken_at=broken_at)
        return record

    def as_before(self, now: datetime) -> Record:
        """The record after a rollback that changed nothing: its earlier status is restored."""
        return replace(
            self.record,
            status=self.record.status_before,
            status_before=None,
            returned_at=None,
            endpoint_wanted_at=self.record.endpoint_wanted_at if self.end is End.LATER else None,
            owner=None,
            lease_until=None,
            revisit_at=now + DAILY,
        )

    def wanting_endpoint(self, now: datetime) -> Record:
        """The record of a change for which EC2 wants the endpoint named: the next pass asks again."""
        return replace(self.record, endpoint_wanted_at=self.record.endpoint_wanted_at or now, lease_until=None)

    def accepted(self, now: datetime) -> Record:
        """The record of a change that EC2 has yet to show: the next pass looks."""
        return replace(self.record, returned_at=now, lease_until=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A rollback that was not made, its current record, and the reason; ``kind``: that without words that vary."""

    asked: RollbackRequest
    record: Record
    problem: str
    kind: str
    is_only_told: bool = False

    def change(self, now: datetime) -> Change | None:
        """The change for an instance that is not rolled back; people are notified again only if the kind of reason changes."""
        explanation = f"{self.asked.why} It was not put back: {self.problem}"
        after = self.record
        if not self.is_only_told and obstacle(self.asked.record, self.asked.target) is None:
            after = replace(after, left_at=now, explanation=explanation)  # It had been tried.
        if self.record.left_because != self.kind:
            after = replace(after, left_because=self.kind, explanation=explanation, changed_at=now)
        if self.asked.broken and not self.record.is_broken:
            after = replace(after, broken_at=now, watch=OPEN)
        if self.asked.is_by_person:
            after = replace(after, undo=None)
        return Change(before=self.record, after=after) if after != self.record else None
