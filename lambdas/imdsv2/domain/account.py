"""State that the ledger keeps per account: hourly caps, circuit breaker, last guard pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


A_DAY = timedelta(hours=24)

ROLLBACKS_THAT_OPEN = 3
SHARE_THAT_OPENS = 0.01
"""The breaker opens at this many rollbacks in 24 hours, if they also exceed this share of that day's enforcements."""

_CAP_WINDOW = timedelta(minutes=61)
"""Enforcements are counted per minute; the extra minute ensures that no 60-minute window exceeds the cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Room under a Region's cap for ``count`` changes that begin between ``at`` and ``until``.

    It counts as if every change were made at the last moment, until it is settled by when they really were made.
    """

    id: str
    region: str
    at: datetime
    until: datetime
    count: int

    def counts(self, now: datetime) -> bool:
        """Whether a change at the last moment would still count: so long it does if its run has crashed."""
        return _minute(self.until) > now - _CAP_WINDOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The ledger's state of one account.

    ``enforcements``: per Region, the number of enforcements in each minute of the last hour. ``reserved``: by id, room
    for enforcements that may still be made. ``last_enforced``: per Region, when room was last reserved. ``rollbacks``:
    the times of the rollbacks of the last 24 hours; ``counted``: when each instance of that time was counted, by its id.
    ``guarded_at``: when the guard's last pass began; ``unseen_since``: when the last one began that came to its end, while one goes on, or
    has died, that looks back further than a few minutes.
    """

    key: str
    version: int = 0
    enforcements: Mapping[str, Mapping[datetime, int]] = field(default_factory=dict)
    reserved: Mapping[str, Reservation] = field(default_factory=dict)
    last_enforced: Mapping[str, datetime] = field(default_factory=dict)
    rollbacks: tuple[datetime, ...] = ()
    counted: Mapping[str, datetime] = field(default_factory=dict)
    breaker_opened_at: datetime | None = None
    breaker_told_at: datetime | None = None
    breaker_closed_by: str | None = None
    guarded_at: datetime | None = None
    unseen_since: datetime | None = None

    @property
    def seen_until(self) -> datetime | None:
        """Until when the guard is known to have looked: a pass that was begun, and has not come to its end, has seen nothing. None: never."""
        return self.unseen_since or self.guarded_at

    def room(self, region: str, cap: int, now: datetime) -> int:
        """How many more instances may be enforced in this Region now."""
        reserved = sum(each.count for each in self._reserved(region, now))
        return max(0, cap - sum(self._lately(region, now).values()) - reserved)

    def opens_at(self, region: str, cap: int, now: datetime) -> datetime:
        """When the cap will have room again, given that it has none now and that what is reserved is changed at once."""
        frees = [(minute + _CAP_WINDOW, count) for minute, count in self._lately(region, now).items()]
        for each in self._reserved(region, now):
            at_once = _minute(each.at) + _CAP_WINDOW
            frees.append((at_once if at_once > now else _minute(each.until) + _CAP_WINDOW, each.count))
        left = sum(count for _, count in frees)
        for when, count in sorted(frees):
            left -= count
            if left < cap:
                return when
        return now

    def with_reservation(self, asked: Reservation, cap: int, now: datetime) -> Account:
        """Reserve as much of what is asked for as there is room. One that is there already stays as it is."""
        granted = min(asked.count, self.room(asked.region, cap, now))
        if asked.id in self.reserved or not granted:
            return self
        return replace(
            self._with_cap(now, self.enforcements, {**self.reserved, asked.id: replace(asked, count=granted)}),
            last_enforced={**self.last_enforced, asked.region: now},
        )

    def settled(self, reservation: Reservation, changed_at: Iterable[datetime], now: datetime) -> Account:
        """Count the changes in the minutes in which they were made, instead of the reservation. The rest of it is free.

        A reservation that is not there (any more) has been settled already, or is too old to matter.
        """
        if reservation.id not in self.reserved:
            return self
        left = {key: each for key, each in self.reserved.items() if key != reservation.id}
        own = Counter(dict(self.enforcements.get(reservation.region, {})))
        own.update(map(_minute, changed_at))
        return self._with_cap(now, {**self.enforcements, reservation.region: own}, left)

    def _with_cap(
        self,
        now: datetime,
        enforcements: Mapping[str, Mapping[datetime, int]],
        reserved: Mapping[str, Reservation],
    ) -> Account:
        """Replaces what counts towards the cap, and drops what counts no longer."""
        kept = {region: _within_window(counts, now) for region, counts in enforcements.items()}
        return replace(
            self,
            enforcements={region: counts for region, counts in kept.items() if counts},
            reserved={key: each for key, each in reserved.items() if each.counts(now)},
        )

    def _lately(self, region: str, now: datetime) -> Mapping[datetime, int]:
        return _within_window(self.enforcements.get(region, {}), now)

    def _reserved(self, region: str, now: datetime) -> list[Reservation]:
        return [each for each in self.reserved.values() if each.region == region and each.counts(now)]

    @property
    def owes_breaker_message(self) -> bool:
        """Whether nobody has been told yet that the breaker is open."""
        if self.breaker_opened_at is None:
            return False
        return self.breaker_told_at is None or self.breaker_told_at < self.breaker_opened_at

    def _with_rollbacks(self, count: int, enforced_that_day: int, now: datetime) -> Account:
        """Add ``count`` rollbacks at ``now``; opens the circuit breaker if they reach the thresholds."""
        lately = tuple(each for each in self.rollbacks if now - each < A_DAY) + (now,) * count
        opens = len(lately) >= ROLLBACKS_THAT_OPEN and len(lately) > SHARE_THAT_OPENS * enforced_that_day
        opened_at = (self.breaker_opened_at or now) if opens else self.breaker_opened_at
        return replace(self, rollbacks=lately, breaker_opened_at=opened_at)

    def with_broken(self, broken: Mapping[str, datetime], enforced_that_day: int, now: datetime) -> Account:
        """Add what broke, by instance id with the time of its enforcement: each enforcement counts once, however often it is told.

        It may be told again because whoever counted it died before that was on record, minutes ago.
        """
        new = {each: now for each, enforced_at in broken.items() if self.counted.get(each, enforced_at) <= enforced_at}
        if not new:
            return self
        lately = {each: when for each, when in self.counted.items() if now - when < A_DAY}
        return replace(self._with_rollbacks(len(new), enforced_that_day, now), counted={**lately, **new})


def _minute(when: datetime) -> datetime:
    return when.replace(second=0, microsecond=0)


def _within_window(counts: Mapping[datetime, int], now: datetime) -> dict[datetime, int]:
    return {minute: count for minute, count in counts.items() if minute > now - _CAP_WINDOW}
