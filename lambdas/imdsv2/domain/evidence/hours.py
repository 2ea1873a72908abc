"""Hours and time series. An hour is a whole number of hours since 1970-01-01 UTC."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


HOUR = 3600
"""In seconds."""
WEEK_HOURS = 7 * 24
_A_CALL = 0.5
"""Sums of the same values in another order may differ in their last digits."""


@dataclass(frozen=True, slots=True, order=True)
class Hours:
    """A range of consecutive hours: ``first`` inclusive, ``end`` exclusive."""

    first: int
    end: int

    @classmethod
    def touching(cls, start: datetime, end: datetime) -> Hours:
        return cls(math.floor(start.timestamp() / HOUR), math.ceil(end.timestamp() / HOUR))

    @classmethod
    def inside(cls, start: datetime, end: datetime) -> Hours:
        first = math.ceil(start.timestamp() / HOUR)
        return cls(first, max(first, math.floor(end.timestamp() / HOUR)))

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.end))

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one instance: a value for each period that has a datapoint, or the problem that makes it unusable.

    Periods are known by the hour, as a whole number since 1970, in which they begin; those shorter than an hour by the second.
    ``passes``: AWS throttled, failed or did not answer, so the next look may succeed.
    """

    values: Mapping[int, float] = field(default_factory=dict)
    problem: str | None = None
    passes: bool = False

    def holding(self, calls: float) -> Series:
        """The series, which must hold as many calls as longer periods showed of the same time. Where it holds fewer, datapoints are
        missing, and nobody knows when the rest was made."""
        if self.problem is not None or calls - sum(self.values.values()) < _A_CALL:
            return self
        return replace(self, problem="CloudWatch shows fewer calls by five minutes than by longer periods", passes=True)


def at(hour: int) -> datetime:
    """The start of an hour, as a UTC datetime."""
    return datetime.fromtimestamp(hour * HOUR, UTC)


def hours_left(hours: int, begin: datetime, since: datetime) -> int:
    """Of the hours that were observed from a time on, as many as certainly lie after another."""
    return max(0, hours + min(0, (begin - since) // timedelta(seconds=HOUR)))
