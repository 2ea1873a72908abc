"""When software calls IMDSv1, by its kind, and the hours that the metric lost."""

from __future__ import annotations

import math
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.bench.simulation.assumptions import (
    BEGIN,
    BOOT_CALL_AFTER,
    BURST_HITS,
    BURSTS_EVERY_DAYS,
    CHANGED_SINCE_SHARE,
    CHANGED_WITHIN_DAYS,
    DAY,
    END,
    FEW_GAPS,
    HOUR,
    MANY_GAPS,
    MINUTE,
    OFFICE_CALLS_EVERY_DAYS,
    PAST,
)
from tests.bench.simulation.machine import Software

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Sequence


class Rhythm:
    """What all instances of a cohort have in common in their calls."""

    def __init__(self, chance: random.Random) -> None:
        self.month_day = chance.randint(1, 28)
        self.minute_of_day = chance.randrange(24 * 60)
        self.every_days = log_uniform(chance, *BURSTS_EVERY_DAYS)
        self.office_every_days = log_uniform(chance, *OFFICE_CALLS_EVERY_DAYS)
        self.bursts = list(_poisson(chance, self.every_days * DAY))


def calls_of(chance: random.Random, rhythm: Rhythm, kind: Software, runs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """When the software of an instance calls, while the instance runs."""
    return _while_running(runs, sorted(_calls(chance, rhythm, kind, runs)))


def _calls(chance: random.Random, rhythm: Rhythm, kind: Software, runs: Sequence[tuple[int, int]]) -> Iterable[int]:
    match kind:
        case Software.SAFE:
            return ()
        case Software.OPEN:
            return _daily(chance, runs)
        case Software.MONTHLY:
            return _monthly(rhythm)
        case Software.BOOT:
            return _at_boot(chance, runs)
        case Software.LOAD:
            return _under_load(chance, rhythm)
        case Software.OFFICE:
            share = 1 / rhythm.office_every_days
            return (chance.randrange(begin, end) for begin, end in runs if chance.random() < share)


def _daily(chance: random.Random, runs: Iterable[tuple[int, int]]) -> Iterator[int]:
    for begin, end in runs:
        for day in range(max(begin, PAST), end, DAY):
            yield chance.randrange(day, min(day + DAY, end))


def _monthly(rhythm: Rhythm) -> Iterator[int]:
    day = datetime.fromtimestamp(PAST, UTC).replace(hour=0)
    while day.timestamp() < END:
        if day.day == rhythm.month_day:
            yield int(day.timestamp()) + rhythm.minute_of_day * MINUTE
        day += timedelta(days=1)


def _at_boot(chance: random.Random, runs: Iterable[tuple[int, int]]) -> Iterator[int]:
    changed = BEGIN - chance.uniform(0, CHANGED_WITHIN_DAYS) * DAY
    since = changed if chance.random() < CHANGED_SINCE_SHARE else -math.inf
    for begin, _ in runs:
        if begin >= since:
            yield begin + chance.randint(*BOOT_CALL_AFTER)


def _under_load(chance: random.Random, rhythm: Rhythm) -> Iterator[int]:
    for burst in rhythm.bursts:
        if chance.random() < BURST_HITS:
            for step in range(12):
                yield burst + step * 10 * MINUTE + chance.randrange(MINUTE)


def _poisson(chance: random.Random, mean: float) -> Iterator[int]:
    when = float(PAST)
    while (when := when + chance.expovariate(1 / mean)) < END:
        yield int(when)


def _while_running(runs: Sequence[tuple[int, int]], calls: Iterable[int]) -> tuple[int, ...]:
    begins = [begin for begin, _ in runs]
    places = ((call, bisect_right(begins, call) - 1) for call in calls)
    return tuple(call for call, place in places if place >= 0 and call < runs[place][1])


def lost_hours(chance: random.Random) -> frozenset[int]:
    """The hours of which an instance's metrics know nothing."""
    lot = chance.random()
    if lot < FEW_GAPS[0]:
        share = chance.uniform(*FEW_GAPS[1])
    elif lot < FEW_GAPS[0] + MANY_GAPS[0]:
        share = chance.uniform(*MANY_GAPS[1])
    else:
        return frozenset()
    return frozenset(hour for hour in range(PAST // HOUR, END // HOUR) if chance.random() < share)


def log_uniform(chance: random.Random, low: float, high: float) -> float:
    """A number between two, of which each doubling is equally likely."""
    return low * float((high / low) ** chance.random())
