"""Working time: when office-hours instances run, and when people do what they have to do. Times are seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.bench.simulation.assumptions import DAY, END, HOUR, PAST, REGIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKING_HOURS = (9, 17)
"""Of the people who put back what breaks, UTC, on weekdays."""


def office_days(
    hours: tuple[int, int], region: str, first: int, absent: tuple[float, float] = (0, 0)
) -> Iterator[tuple[int, int]]:
    """The working days of a Region from a time on, from and to those local hours, but for an absence."""
    ahead = REGIONS[region][1]
    day = datetime.fromtimestamp(PAST, UTC).replace(hour=0)
    while day.timestamp() < END:
        begin, end = (int(day.timestamp()) + (hour - ahead) * HOUR for hour in hours)
        away = absent[0] <= begin < absent[1]
        if day.weekday() < 5 and begin >= first and not away:
            yield begin, end
        day += timedelta(days=1)


def after_working_hours(since: float, hours: float) -> float:
    """When so many working hours have gone by since a time."""
    left, day = hours * HOUR, int(since // DAY) * DAY
    while True:
        begin, end = (day + hour * HOUR for hour in WORKING_HOURS)
        if datetime.fromtimestamp(day, UTC).weekday() < 5 and end > since:
            worked = end - max(begin, since)
            if worked >= left:
                return max(begin, since) + left
            left -= worked
        day += DAY
