"""State that the ledger keeps per account: hourly caps, circuit breaker, last guard pass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


A_DAY = timedelta(hours=24)

ROLLBACKS_THAT_OPEN = 3
SHARE_THAT_OPENS = 0.01
"""The breaker opens at this many rollbacks in 24 hours, if they also exceed this share of that day's enforcements."""

_CAP_WINDOW = timedelta(minutes=61)
"""Enforcements are counted per minute; the extra minute ensures that no 60-minute window exceeds the cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The ledger's state of one account.

    ``enforcements``: per Region, the number of enforcements in each minute of the last hour. ``last_enforced``: per
    Region, the time of the last enforcement. ``rollbacks``: the times of the rollbacks of the last 24 hours.
    """

    key: str
    version: int = 0
    enforcements: Mapping[str, Mapping[datetime, int]] = field(default_factory=dict)
    last_enforced: Mapping[str, datetime] = field(default_factory=dict)
    rollbacks: tuple[datetime, ...] = ()
    breaker_opened_at: datetime | None = None
    breaker_closed_by: str | None = None
    guarded_at: datetime | None = None

    def room(self, region: str, cap: int, now: datetime) -> int:
        """How many more instances may be enforced in this Region now."""
        return max(0, cap - sum(self._lately(region, now).values()))

    def opens_at(self, region: str, cap: int, now: datetime) -> datetime:
        """When the cap will have room again, given that it has none now."""
        lately = self._lately(region, now)
        left = sum(lately.values())
        for minute, count in sorted(lately.items()):
            left -= count
            if left < cap:
                return minute + _CAP_WINDOW
        return now

    def with_enforcements(self, region: str, count: int, minute: datetime, now: datetime) -> Account:
        """Add ``count`` enforcements (negative: remove) to a minute, and drop minutes older than the cap window."""
        own = dict(self._lately(region, now))
        begun = minute.replace(second=0, microsecond=0)
        own[begun] = own.get(begun, 0) + count
        kept = {each: self._lately(each, now) for each in self.enforcements} | {region: own}
        return replace(
            self,
            enforcements={each: counts for each, counts in kept.items() if counts},
            last_enforced={**self.last_enforced, region: now} if count > 0 else self.last_enforced,
        )

    def _lately(self, region: str, now: datetime) -> Mapping[datetime, int]:
        oldest = now - _CAP_WINDOW
        return {minute: count for minute, count in self.enforcements.get(region, {}).items() if minute > oldest}

    def with_rollbacks(self, count: int, enforced_that_day: int, now: datetime) -> Account:
        """Add ``count`` rollbacks at ``now``; opens the circuit breaker if they reach the thresholds."""
        lately = tuple(each for each in self.rollbacks if now - each < A_DAY) + (now,) * count
        opens = len(lately) >= ROLLBACKS_THAT_OPEN and len(lately) > SHARE_THAT_OPENS * enforced_that_day
        opened_at = (self.breaker_opened_at or now) if opens else self.breaker_opened_at
        return replace(self, rollbacks=lately, breaker_opened_at=opened_at)
