"""Metric data points of one account and Region, kept and aggregated as CloudWatch documents it.

Points are stored by the minute for 455 days. As CloudWatch rolls up older data, points older than 15 days are visible only in periods
of at least 5 minutes, and those older than 63 days only in periods of at least an hour.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400
KEPT_DAYS: Final = 455
FIELDS: Final = {"Sum": "total", "SampleCount": "count", "Minimum": "low", "Maximum": "high"}
# The finest period in which points of an age are still to be seen: (period below which, days kept).
RETENTION: Final = ((300, 15), (HOUR, 63))

Dimensions: TypeAlias = tuple[tuple[str, str], ...]
MetricKey: TypeAlias = tuple[str, str, Dimensions]


@dataclass(slots=True)
class Datapoint:
    """A statistic set: the data published in one period."""

    total: float = 0.0
    count: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, total: float, count: float, low: float, high: float) -> None:
        """Add another statistic set."""
        self.total += total
        self.count += count
        self.low = min(self.low, low)
        self.high = max(self.high, high)

    def value(self, statistic: str) -> float:
        """The statistic of this period.

        Raises:
            KeyError: the statistic is not stored (percentiles are not).
        """
        if statistic == "Average":
            return self.total / self.count
        return float(getattr(self, FIELDS[statistic]))


@dataclass(slots=True, eq=False)
class Series:
    """One metric: its points by the minute, and a cache of longer periods that were read.

    A `common` series is shared by several metrics and never changed.
    """

    common: bool = False
    minutes: dict[int, Datapoint] = field(default_factory=dict)
    by_period: dict[tuple[int, int], tuple[list[int], list[Datapoint]]] = field(default_factory=dict)

    @property
    def latest(self) -> int:
        """The minute of the newest point."""
        return max(self.minutes)

    def put(self, timestamp: float, total: float, count: float, low: float, high: float) -> None:
        """Publish a statistic set at a time (epoch seconds)."""
        minute = int(timestamp) // MINUTE * MINUTE
        self.minutes.setdefault(minute, Datapoint()).add(total, count, low, high)
        self.by_period.clear()

    def followed_by(self, points: Iterable[tuple[int, float]]) -> Series:
        """A common series: this one's points, and these single values."""
        series = Series(common=True, minutes={at: replace(point) for at, point in self.minutes.items()})
        for at, value in points:
            series.put(at, value, 1.0, value, value)
        return series

    def periods(self, *, start: int, end: int, period: int) -> tuple[list[int], list[Datapoint]]:
        """Start times and points of the nonempty periods from `start` to `end` (exclusive), ascending; times in epoch seconds."""
        offset = start % period
        times, points = self._rolled_up(period, offset)
        low, high = bisect_left(times, start), bisect_left(times, end)
        return times[low:high], points[low:high]

    def _rolled_up(self, period: int, offset: int) -> tuple[list[int], list[Datapoint]]:
        if (period, offset) not in self.by_period:
            rolled: dict[int, Datapoint] = {}
            for minute, point in self.minutes.items():
                begins = (minute - offset) // period * period + offset
                rolled.setdefault(begins, Datapoint()).add(point.total, point.count, point.low, point.high)
            times = sorted(rolled)
            self.by_period[period, offset] = times, [rolled[time] for time in times]
        return self.by_period[period, offset]


_NOTHING: Final = Series(common=True)


@dataclass(slots=True)
class MetricStore:
    """The metrics of one account and Region."""

    series: dict[MetricKey, Series] = field(default_factory=dict)

    def put(self, key: MetricKey, timestamp: float, total: float, count: float, low: float, high: float) -> None:
        """Publish a statistic set of a metric."""
        series = self.series.get(key)
        if series is None or series.common:
            minutes = {at: replace(point) for at, point in series.minutes.items()} if series else {}
            self.series[key] = series = Series(minutes=minutes)
        series.put(timestamp, total, count, low, high)

    def load(self, keys: Iterable[MetricKey], points: Sequence[tuple[int, float]]) -> None:
        """Publish the same single values for many metrics. Metrics that have had the same values so far share one series, as a series for
        each would need too much memory, and as much time to be rolled up."""
        followed: dict[Series, Series] = {}
        for key in keys:
            series = self.series.get(key, _NOTHING)
            if not series.common:
                for at, value in points:
                    self.put(key, at, value, 1.0, value, value)
            elif series in followed:
                self.series[key] = followed[series]
            else:
                self.series[key] = followed[series] = series.followed_by(points)

    def read(
        self, key: MetricKey, *, start: float, end: float, period: int, now: float
    ) -> tuple[list[int], list[Datapoint]]:
        """Start times and points of a metric's nonempty periods, ascending. `start` is rounded as CloudWatch rounds it."""
        series = self.series.get(key)
        if series is None:
            return [], []
        begins = int(start) // _grain(now - start) * _grain(now - start)
        oldest = now - next((days for below, days in RETENTION if period < below), KEPT_DAYS) * DAY
        times, points = series.periods(start=begins, end=int(-(-end // 1)), period=period)
        first = bisect_left(times, oldest)
        return times[first:], points[first:]


def _grain(age: float) -> int:
    """The unit in seconds to which CloudWatch rounds down a start time of this age."""
    if age <= 15 * DAY:
        return MINUTE
    return 300 if age <= 63 * DAY else HOUR
