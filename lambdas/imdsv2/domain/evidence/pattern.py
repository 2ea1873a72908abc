"""When calls come: what a person needs to know in order to find the software that makes them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.hours import at

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

ONCE = "once"
AT_STARTS = "at starts"
STEADY = "steady"
IRREGULAR = "at no fixed time"

_STEADY_SHARE = 0.5
"""Of the observed hours from the first to the last use."""
_REGULAR_SHARE = 0.8
"""Of the hours with calls that share an hour of the day."""
_DAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def pattern_of(used: Collection[int], observed: Collection[int], starts: Collection[datetime]) -> str:
    """The pattern of the hours with calls (whole numbers since 1970, in order); empty where there are none.

    Args:
        used: the hours with calls.
        observed: all hours with a datapoint.
        starts: the starts of the instance that are known.
    """
    hours = sorted(used)
    if not hours:
        return ""
    at_start = {int(when.timestamp()) // 3600 + after for when in starts for after in (0, 1)}
    if all(hour in at_start for hour in hours):
        return AT_STARTS
    if hours[-1] - hours[0] <= 1:
        return ONCE
    ran = sum(hours[0] <= hour <= hours[-1] for hour in observed)
    if len(hours) >= _STEADY_SHARE * ran:
        return STEADY
    return _regular(hours) or IRREGULAR


def _regular(hours: list[int]) -> str | None:
    """Use that returns at one hour of the day, or of the week, or on one day of the month."""
    times = [at(hour) for hour in hours]
    (hour, share), *_ = Counter(when.hour for when in times).most_common()
    at_hour = [when for when in times if when.hour == hour]
    if share < _REGULAR_SHARE * len(times) or len({when.date() for when in at_hour}) < 2:
        return None
    weekdays = {when.weekday() for when in at_hour}
    days = {when.day for when in at_hour}
    if len(weekdays) == 1:
        return f"weekly on {_DAYS[weekdays.pop()]} at {hour:02}:00"
    if len(days) == 1:
        return f"monthly on day {days.pop()} at {hour:02}:00"
    return f"daily at {hour:02}:00"
