"""What the ledger knows of an instance and later verdicts depend on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A person's word that an instance is not to be changed, up to the end of the day ``until`` (UTC), in the ledger
    because not everybody may tag every instance. ``by``: who said so, as claimed, by which request, and when."""

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
    """A person's answer to a change that waits for approval. ``word``: ``approved`` (until ``expires_at``) or ``refused``."""

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
    """A person's wish that an instance be put back. ``why``: the sentence that the rollback will bear."""

    by: str | None
    why: str
    at: datetime
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the ledger knows of an instance and no later verdict overwrites."""

    enforced_at: datetime | None = None
    confirmed: bool = False
    rolled_back_at: datetime | None = None
    cleared_at: datetime | None = None
    hold: Hold | None = None

    @property
    def broke(self) -> bool:
        """Whether it was put back after it was changed here, and no person has cleared that since."""
        if self.rolled_back_at is None:
            return False
        return self.cleared_at is None or self.cleared_at < self.rolled_back_at

    @property
    def stands(self) -> bool:
        """Whether a confirmed enforcement of ours has been neither rolled back nor cleared."""
        if self.enforced_at is None or not self.confirmed:
            return False
        if self.rolled_back_at is not None and self.rolled_back_at >= self.enforced_at:
            return False
        # A call with `clear` enforces at the time at which it clears: what it voids is earlier.
        return self.cleared_at is None or self.cleared_at <= self.enforced_at
