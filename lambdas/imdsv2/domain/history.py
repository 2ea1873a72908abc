"""The part of an instance's ledger record that later verdicts depend on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold in the ledger: the instance must not be changed through the day ``until`` (UTC). It exists for people who
    cannot tag the instance. ``by``, ``request_id``, ``at``: the claimed caller, the request and the time."""

    owner: str
    reason: str
    until: date
    by: str | None = None
    request_id: str | None = None
    at: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        return now.astimezone(UTC).date() <= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A person's answer to a change that needs approval. ``word``: ``approved`` (until ``expires_at``), ``refused``."""

    word: str
    by: str | None
    request_id: str
    at: datetime
    expires_at: datetime | None = None

    @property
    def is_refusal(self) -> bool:
        return self.word == "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A person's request to roll an instance back. ``why``: the explanation that the rollback records."""

    by: str | None
    why: str
    at: datetime
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """An instance's history: facts that later verdicts do not overwrite."""

    enforced_at: datetime | None = None
    confirmed: bool = False
    rolled_back_at: datetime | None = None
    cleared_at: datetime | None = None
    hold: Hold | None = None

    @property
    def broke(self) -> bool:
        """Whether the instance was rolled back and no person has cleared it since."""
        if self.rolled_back_at is None:
            return False
        return self.cleared_at is None or self.cleared_at < self.rolled_back_at

    @property
    def stands(self) -> bool:
        """Whether a confirmed enforcement has been neither rolled back nor cleared."""
        if self.enforced_at is None or not self.confirmed:
            return False
        if self.rolled_back_at is not None and self.rolled_back_at >= self.enforced_at:
            return False
        # A request with `clear` clears and enforces at the same time, so an equal time does not void the enforcement.
        return self.cleared_at is None or self.cleared_at <= self.enforced_at
