"""When refused IMDSv1 calls mean that software broke: a pattern, never a single knock.

Whoever forges one request through an instance (a scanner, a person's test, an attacker) is refused once as well; if that
opened IMDSv1 again, asking twice would do to get the credentials.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.hours import at
from imdsv2.domain.evidence.window import first_fine
from imdsv2.domain.texts.words import count, minute

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy

TOGETHER = timedelta(hours=2)
"""How close refused calls lie that belong to one failure, where no watch bounds them: what runs every hour shows within two,
and two knocks by chance hardly ever lie so close."""

_AFTER_START = timedelta(hours=1)
_SAME_TIME = timedelta(minutes=15)
_DAYS_AT_SAME_TIME = 3
_STAMPED_EARLY = timedelta(minutes=10)
"""How long before a call its datapoint, and the period in which that lies, may begin."""
_DAY = timedelta(days=1)
_ALL = 0.9
"""The metric of some may have a gap."""
_FEWEST = 4
"""Two requests to a farm behind one address reach two of its instances."""
_TIMES_BEFORE = 2
"""A stray call of long ago has an hour too, at which a probe may come by chance; what came twice has a timetable."""
_LARGEST_SHARE = 0.25
"""Of all hours of the week, or of the month: use that was spread over more of them has no time of its own."""


def pattern(
    refused: Mapping[datetime, int],
    *,
    starts: Collection[datetime],
    watched_from: datetime | None,
    told: datetime | None = None,
    threshold: int,
    periods: int,
) -> str | None:
    """What makes refused calls breakage, as words for "they were refused ..."; None where nothing does.

    Args:
        refused: calls by the beginning of their period of five minutes.
        starts: when boot software ran: starts, and reboots that a person told of.
        watched_from: when the watch that goes on began: what is refused from then on counts together, however far apart; None
            after a watch was proved, when only what lies within two hours does (a probe now and one days later are none).
        told: the last refused period of which people were told; what comes again a month later, to the minute, is a job.
        threshold: fewer calls are never breakage.
        periods: in so many periods they are.
    """
    if not refused or sum(refused.values()) < threshold:
        return None
    times = sorted(refused)
    start = next((each for each in starts if any(_is_at_start(when, each) for when in times)), None)
    if start is not None:
        return f"within the hour after its start on {minute(start)}"
    in_watch = [when for when in times if watched_from is not None and when >= watched_from]
    if len(in_watch) >= periods or _lie_together(times, periods):
        return f"in {count(max(len(in_watch), periods), 'separate period')} of five minutes"
    if any(_days_at_time_of(when, times) >= _DAYS_AT_SAME_TIME for when in times):
        return f"at the same time of the day on {_DAYS_AT_SAME_TIME} days"
    if told is not None and any(_is_a_month_later(when, told) for when in times):
        return f"a month after others, at the same time, on {minute(told)}"
    return None


def of_a_cohort(refused: Mapping[InstanceArn, Mapping[datetime, int]], *, standing: int, policy: Policy) -> str | None:
    """What makes refused calls breakage of instances that run the same software: that they came at the same moment, on all of
    them. A scanner that walks from one to the next does not do that.

    Args:
        refused: by instance of the cohort, calls by the beginning of their period of five minutes.
        standing: how many instances of the cohort require tokens by the service.
        policy: fewer calls than its threshold are never breakage, and there must be as many instances as periods on one alone.
    """
    at_once = Counter(when for own in refused.values() for when in own)
    if not at_once or any(sum(own.values()) < policy.rejected_threshold for own in refused.values()):
        return None
    when, together = max(at_once.items(), key=lambda each: each[1])
    if together < max(_FEWEST, policy.rejected_periods, math.ceil(_ALL * standing)):
        return None
    return f"on {together} instances that run the same software at the same moment, on {minute(when)}"


def returning(refused: Mapping[datetime, int], used: Collection[int], threshold: int) -> str | None:
    """What makes refused calls breakage by what was called before: the hour of the week, or of the month, at which it was,
    more than once.

    Args:
        refused: as for `pattern`.
        used: hours (whole numbers since 1970) in which IMDSv1 was called before tokens were required.
        threshold: as for `pattern`.
    """
    if not used or sum(refused.values()) < threshold:
        return None
    before = [at(hour) for hour in used]
    for slot, slots, words in ((_of_week, 7 * 24, "hour of the week"), (_of_month, 31 * 24, "hour of the month")):
        known = Counter(slot(when) for when in before)
        regular = {each for each, times in known.items() if times >= _TIMES_BEFORE}
        if len(known) <= _LARGEST_SHARE * slots and _touched(slot, refused) & regular:
            return f"at the {words} at which it called IMDSv1 before"
    return None


def _is_at_start(when: datetime, start: datetime) -> bool:
    return first_fine(start) <= when.timestamp() < (start + _AFTER_START).timestamp()


def _is_a_month_later(when: datetime, told: datetime) -> bool:
    """Whether both lie on the same day of consecutive months, at the same time of the day."""
    months = when.year * 12 + when.month - told.year * 12 - told.month
    apart = abs(when - when.replace(hour=told.hour, minute=told.minute))
    return months == 1 and when.day == told.day and apart <= _STAMPED_EARLY


def _lie_together(times: Sequence[datetime], periods: int) -> bool:
    return any(last - first <= TOGETHER for first, last in zip(times, times[periods - 1 :], strict=False))


def _days_at_time_of(when: datetime, times: Sequence[datetime]) -> int:
    """On how many days, this one included, calls were refused at its time of the day."""
    days = ((each - when, round((each - when) / _DAY)) for each in times)
    return len({day for distance, day in days if abs(distance - day * _DAY) <= _SAME_TIME})


def _touched(slot: Callable[[datetime], tuple[int, int]], refused: Collection[datetime]) -> set[tuple[int, int]]:
    """The slots in which calls were refused, whatever the beginnings of their five minutes."""
    return {slot(when + early) for when in refused for early in (-_STAMPED_EARLY, timedelta(), _STAMPED_EARLY)}


def _of_week(when: datetime) -> tuple[int, int]:
    utc = when.astimezone(UTC)
    return utc.weekday(), utc.hour


def _of_month(when: datetime) -> tuple[int, int]:
    utc = when.astimezone(UTC)
    return utc.day, utc.hour
