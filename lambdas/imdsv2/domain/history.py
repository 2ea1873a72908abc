"""The part of an instance's ledger record that later verdicts depend on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from imdsv2.domain.exemption import LongExemption


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
    reason: str | None = None

    @property
    def is_refusal(self) -> bool:
        return self.word == "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A person's word that one instance is to be changed in spite of what the evidence says, up to the end of the day
    ``until`` (UTC). ``owner``: who answers for it."""

    owner: str
    reason: str
    until: date
    by: str | None
    request_id: str
    at: datetime

    def in_force(self, now: datetime) -> bool:
        return now.astimezone(UTC).date() <= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A person's request to roll an instance back. ``why``: the explanation that the rollback records."""

    by: str | None
    why: str
    at: datetime
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the ledger knows of an instance and no later verdict overwrites.

    ``required_seen_at``: when tokens were last seen required, whoever required them. ``undone_at``, ``undone_by``: a person had
    it put back. ``mended_at``: a person says that its software was updated and that it was started or rebooted at that time.
    ``rebooted_at``: the last reboot through EC2 that CloudTrail told of, when it was asked at ``reboot_sought_at``.
    ``proved_start``: the last start whose two hours were observed, with no call in them. ``missing_since``: when EC2 was first
    found not to know it, if it has not been seen since. ``quiet_until``: no call that CloudWatch remembered was made before then.
    ``unrefused_since``, ``unrefused_until``: between these no call was refused, as read at the second. ``long_exemption``: the last
    exemption that was longer than the policy allowed.
    """

    enforced_at: datetime | None = None
    confirmed: bool = False
    rolled_back_at: datetime | None = None
    undone_at: datetime | None = None
    undone_by: str | None = None
    required_seen_at: datetime | None = None
    cleared_at: datetime | None = None
    mended_at: datetime | None = None
    rebooted_at: datetime | None = None
    reboot_sought_at: datetime | None = None
    proved_start: datetime | None = None
    missing_since: datetime | None = None
    quiet_until: datetime | None = None
    unrefused_since: datetime | None = None
    unrefused_until: datetime | None = None
    hold: Hold | None = None
    acceptance: Acceptance | None = None
    long_exemption: LongExemption | None = None

    @property
    def required_at(self) -> datetime | None:
        """When tokens were last known to be required."""
        known = (self.enforced_at, self.required_seen_at, self.put_back_at)
        return max((when for when in known if when), default=None)

    @property
    def put_back_at(self) -> datetime | None:
        """When it was last put back, by the guard or for a person."""
        return max((when for when in (self.rolled_back_at, self.undone_at) if when), default=None)

    @property
    def is_blank(self) -> bool:
        """Whether it knows neither of a way back nor of a clearance: what an instance's tag says of one is news."""
        return self.put_back_at is None and self.cleared_at is None

    @property
    def uncleared_undo_at(self) -> datetime | None:
        """When a person had it put back; None if nobody has, or a person has cleared that since."""
        return _unless_cleared(self.undone_at, self.cleared_at)

    @property
    def uncleared_required_seen_at(self) -> datetime | None:
        """When it was last seen to require tokens; None if it never was, the service has put it back since, or a person has cleared it."""
        if self.required_seen_at is None or (
            self.put_back_at is not None and self.put_back_at >= self.required_seen_at
        ):
            return None
        return _unless_cleared(self.required_seen_at, self.cleared_at)

    @property
    def uncleared_rollback_at(self) -> datetime | None:
        """When it was put back because its software broke; None if it never was, or a person has cleared that since."""
        return _unless_cleared(self.rolled_back_at, self.cleared_at)

    @property
    def stands(self) -> bool:
        """Whether a confirmed enforcement has been neither rolled back nor cleared."""
        if self.enforced_at is None or not self.confirmed:
            return False
        if self.put_back_at is not None and self.put_back_at >= self.enforced_at:
            return False
        return self.cleared_at is None or self.cleared_at <= self.enforced_at


def _unless_cleared(when: datetime | None, cleared_at: datetime | None) -> datetime | None:
    return when if when is not None and (cleared_at is None or cleared_at < when) else None
