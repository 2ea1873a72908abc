"""What the ledger knows of an account: caps, circuit breaker, and who guards it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


A_DAY = timedelta(hours=24)

ROLLBACKS_THAT_OPEN = 3
SHARE_THAT_OPENS = 0.01
"""So many rollbacks within a day in an account, and more than this share of what was enforced there that day."""

_CAP_WINDOW = timedelta(minutes=61)
"""Enforcements are counted by the minute: one more than the hour, so that no hour, wherever it begins, has too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the ledger knows of an account as a whole.

    ``enforcements``: by Region, how many began in each minute of the last hour. ``last_enforced``: by Region, when any
    last did. ``rollbacks``: when, over the last day.
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
        """How many more may be enforced in a Region now."""
        return max(0, cap - sum(self._lately(region, now).values()))

    def opens_at(self, region: str, cap: int, now: datetime) -> datetime:
        """When there will be room again, where there is none."""
        lately = self._lately(region, now)
        left = sum(lately.values())
        for minute, count in sorted(lately.items()):
            left -= count
            if left < cap:
                return minute + _CAP_WINDOW
        return now

    def with_enforcements(self, region: str, count: int, minute: datetime, now: datetime) -> Account:
        """So many more (fewer, if negative) in a minute; what is older than the window is forgotten."""
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
        """So many instances were rolled back just now; enough of them open the breaker."""
        lately = tuple(each for each in self.rollbacks if now - each < A_DAY) + (now,) * count
        opens = len(lately) >= ROLLBACKS_THAT_OPEN and len(lately) > SHARE_THAT_OPENS * enforced_that_day
        opened_at = (self.breaker_opened_at or now) if opens else self.breaker_opened_at
        return replace(self, rollbacks=lately, breaker_opened_at=opened_at)
