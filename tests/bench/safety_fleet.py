"""The fleet of the safety simulation: when each instance runs, and when its software calls IMDSv1.

Nothing in it depends on what is done to the fleet, so every way of enforcing meets the same instances and the same calls.
Times are seconds since 1970. docs/safety.md tells the reasons for each figure here; they were put down before the first run.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING

from imdsv2.domain.instance import InstanceArn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MINUTE, HOUR, DAY = 60, 3600, 86_400

BEGIN = int(datetime(2026, 6, 1, 10, tzinfo=UTC).timestamp())
"""A Monday."""
DAYS = 90
END = BEGIN + DAYS * DAY
PAST = BEGIN - 63 * DAY
"""From here on every start and call is known; of what was before, the last start."""

INSTANCES = 10_000
ACCOUNTS = 20
REGIONS = {"eu-west-1": (0.6, 1), "us-east-1": (0.3, -5), "ap-southeast-1": (0.1, 8)}
"""Share of the instances, and hours ahead of UTC."""
LARGEST_COHORT = 200
OPEN_SHARE = 0.1

HABITS = {"steady": 0.5, "patched": 0.35, "office": 0.15}
OLDEST_DAYS = 1000
YOUNGEST_COHORT_DAYS = 14
REPLACED_SHARE = 0.3
RESTARTS_EVERY_DAYS = 200
PATCHED_EVERY_DAYS = 30
DOWN = 15 * MINUTE
OFFICE_HOURS = (8, 18)
BREAK_SHARE = 0.4
BREAK_DAYS = (14, 28)
PARKED_SHARE = 0.03
PARKED_DAYS = (5, 120)
FEW_GAPS, MANY_GAPS = (0.02, (0.01, 0.05)), (0.01, (0.15, 0.3))
"""Shares of the instances, and of their hours that have no datapoint."""

BURSTS_EVERY_DAYS = (2, 60)
BURST_HITS = 0.7
OFFICE_CALLS_EVERY_DAYS = (1, 20)
BOOT_CALL_AFTER = (1 * MINUTE, 5 * MINUTE)
CHANGED_SINCE_SHARE = 0.3
CHANGED_WITHIN_DAYS = 30


class Software(StrEnum):
    """When an instance's software calls IMDSv1."""

    SAFE = "safe"
    OPEN = "open"
    MONTHLY = "monthly"
    BOOT = "boot"
    LOAD = "load"
    OFFICE = "office"


HIDDEN = (Software.MONTHLY, Software.BOOT, Software.LOAD, Software.OFFICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How many hidden breakers of each kind there are, as a share of the fleet, and how many are alone in their cohort."""

    hidden: Mapping[Software, float] = field(default_factory=lambda: dict.fromkeys(HIDDEN, 0.005))
    alone: float = 0.5
    instances: int = INSTANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One instance: when it runs (from, to), when its software calls IMDSv1, and the hours of which the metric knows nothing."""

    arn: InstanceArn
    group: str
    software: Software
    first_launched: int
    runs: Sequence[tuple[int, int]]
    calls: Sequence[int] = ()
    lost_hours: frozenset[int] = frozenset()

    def run_at(self, when: float) -> tuple[int, int]:
        """The run that goes on then, or the last one before."""
        return self.runs[max(0, bisect_right(self.runs, (when, math.inf)) - 1)]

    def is_running(self, when: float) -> bool:
        begin, end = self.run_at(when)
        return begin <= when < end

    def next_start(self, after: float) -> int | None:
        place = bisect_right(self.runs, (after, math.inf))
        return self.runs[place][0] if place < len(self.runs) else None

    def calls_between(self, begin: float, end: float) -> Sequence[int]:
        """Its calls from a time on, up to another."""
        return self.calls[bisect_left(self.calls, begin) : bisect_left(self.calls, end)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A cohort: an Auto Scaling group, whose instances run the same software in the same way."""

    name: str
    account: str
    region: str
    size: int
    habit: str
    age_days: float
    phase: float
    absent: tuple[float, float]
    is_open: bool

    @property
    def is_office(self) -> bool:
        return self.habit == "office"


def build(seed: int, mix: Mix) -> list[Machine]:
    """A fleet; the same for the same seed and mix."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    groups = list(_groups(chance, mix.instances))
    numbers = count(1)
    places = [
        (group, InstanceArn("aws", group.region, group.account, f"i-{next(numbers):017x}"))
        for group in groups
        for _ in range(group.size)
    ]
    software = _software(chance, groups, mix)
    machines = []
    for index, (group, arn) in enumerate(places):
        first, runs = _life(chance, group)
        kind = software.get(index, Software.OPEN if group.is_open else Software.SAFE)
        machines.append((group, arn, kind, first, runs))
    rhythm = {group.name: _Rhythm(chance) for group in groups}
    return [
        Machine(
            arn=arn,
            group=group.name,
            software=kind,
            first_launched=first,
            runs=runs,
            calls=_while_running(runs, sorted(_calls(chance, rhythm[group.name], kind, runs))),
            lost_hours=_lost_hours(chance),
        )
        for group, arn, kind, first, runs in machines
    ]


def _groups(chance: random.Random, instances: int) -> Iterator[_Group]:
    accounts = [f"{number:012}" for number in range(1, ACCOUNTS + 1)]
    left = instances
    for number in count():
        size = min(left, int(_log_uniform(chance, 1, LARGEST_COHORT + 1)))
        absent_from = BEGIN + chance.uniform(-35, DAYS) * DAY
        absent_for = chance.uniform(*BREAK_DAYS) * DAY if chance.random() < BREAK_SHARE else 0.0
        yield _Group(
            name=f"group-{number}",
            account=chance.choices(accounts, [1 / rank for rank in range(1, ACCOUNTS + 1)])[0],
            region=chance.choices(list(REGIONS), [share for share, _ in REGIONS.values()])[0],
            size=size,
            habit=chance.choices(list(HABITS), list(HABITS.values()))[0],
            age_days=_log_uniform(chance, YOUNGEST_COHORT_DAYS, OLDEST_DAYS),
            phase=chance.uniform(0, PATCHED_EVERY_DAYS),
            absent=(absent_from, absent_from + absent_for),
            is_open=chance.random() < OPEN_SHARE,
        )
        left -= size
        if not left:
            return


def _software(chance: random.Random, groups: Sequence[_Group], mix: Mix) -> dict[int, Software]:
    """Which instances, by number, are hidden breakers: some are whole cohorts, the others alone in theirs."""
    firsts, total = [], 0
    for group in groups:
        firsts.append(total)
        total += group.size
    free = [index for index, group in enumerate(groups) if not group.is_open]
    chance.shuffle(free)
    chosen: dict[int, Software] = {}
    fitting = {
        kind: [index for index in free if groups[index].is_office == (kind is Software.OFFICE)] for kind in mix.hidden
    }
    filled: set[int] = set()
    for kind, share in mix.hidden.items():
        left = round(share * total) - round(share * total * mix.alone)
        for index in fitting[kind]:
            if left and index not in filled:
                filled.add(index)
                members = range(firsts[index], firsts[index] + min(left, groups[index].size))
                chosen |= dict.fromkeys(members, kind)
                left -= len(members)
        if left:
            raise ValueError(f"the fleet is too small for {kind}; take a larger one")
    for kind, share in mix.hidden.items():
        # The larger a cohort, the likelier one of its members has been given something of its own.
        others = [index for index in fitting[kind] if index not in filled]
        members_of_others = [firsts[index] + member for index in others for member in range(groups[index].size)]
        candidates = [each for each in members_of_others if each not in chosen]
        chosen |= dict.fromkeys(chance.sample(candidates, round(share * total * mix.alone)), kind)
    return chosen


def _life(chance: random.Random, group: _Group) -> tuple[int, list[tuple[int, int]]]:
    """When an instance was first launched, and when it has run and will run."""
    age = group.age_days * (chance.random() if chance.random() < REPLACED_SHARE else chance.uniform(0.97, 1))
    first = int(BEGIN - max(age, 0.1) * DAY)
    if group.is_office:
        days = list(_office_days(group, first + HOUR))
        return first, [(first, first + HOUR), *days] if first > PAST else days
    runs = _between(first, sorted(_restarts(chance, group, first)))
    if chance.random() < PARKED_SHARE:
        runs = _parked(chance, first, runs)
    in_force = bisect_right([begin for begin, _ in runs], PAST) - 1
    return first, runs[max(0, in_force) :]


def _restarts(chance: random.Random, group: _Group, first: int) -> Iterator[int]:
    if group.habit == "patched":
        when = PAST + group.phase * DAY - PATCHED_EVERY_DAYS * DAY
        while when < END:
            yield int(when + chance.uniform(0, 2 * HOUR))
            when += PATCHED_EVERY_DAYS * DAY
    else:
        when = float(first)
        while (when := when + chance.expovariate(1 / (RESTARTS_EVERY_DAYS * DAY))) < END:
            yield int(when)


def _between(first: int, restarts: Iterable[int]) -> list[tuple[int, int]]:
    runs, start = [], first
    for restart in restarts:
        if restart - start > HOUR:
            runs.append((start, restart))
            start = restart + DOWN
    return [*runs, (start, END)]


def _parked(chance: random.Random, first: int, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stopped some time ago; every other one is needed again."""
    stopped = max(first + HOUR, int(BEGIN - _log_uniform(chance, *PARKED_DAYS) * DAY))
    kept = [(begin, min(end, stopped)) for begin, end in runs if begin < stopped]
    again = int(chance.uniform(BEGIN, END + DAYS * DAY))
    return [*kept, (again, END)] if again < END else kept


def _office_days(group: _Group, first: int) -> Iterator[tuple[int, int]]:
    ahead = REGIONS[group.region][1]
    day = datetime.fromtimestamp(PAST, UTC).replace(hour=0)
    while day.timestamp() < END:
        begin, end = (int(day.timestamp()) + (hour - ahead) * HOUR for hour in OFFICE_HOURS)
        away = group.absent[0] <= begin < group.absent[1]
        if day.weekday() < 5 and begin >= first and not away:
            yield begin, end
        day += timedelta(days=1)


class _Rhythm:
    """What all instances of a cohort have in common in their calls."""

    def __init__(self, chance: random.Random) -> None:
        self.month_day = chance.randint(1, 28)
        self.minute_of_day = chance.randrange(24 * 60)
        self.every_days = _log_uniform(chance, *BURSTS_EVERY_DAYS)
        self.office_every_days = _log_uniform(chance, *OFFICE_CALLS_EVERY_DAYS)
        self.bursts = list(_poisson(chance, self.every_days * DAY))


def _calls(chance: random.Random, rhythm: _Rhythm, kind: Software, runs: Sequence[tuple[int, int]]) -> Iterable[int]:
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


def _monthly(rhythm: _Rhythm) -> Iterator[int]:
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


def _under_load(chance: random.Random, rhythm: _Rhythm) -> Iterator[int]:
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


def _lost_hours(chance: random.Random) -> frozenset[int]:
    lot = chance.random()
    if lot < FEW_GAPS[0]:
        share = chance.uniform(*FEW_GAPS[1])
    elif lot < FEW_GAPS[0] + MANY_GAPS[0]:
        share = chance.uniform(*MANY_GAPS[1])
    else:
        return frozenset()
    return frozenset(hour for hour in range(PAST // HOUR, END // HOUR) if chance.random() < share)


def _log_uniform(chance: random.Random, low: float, high: float) -> float:
    return low * float((high / low) ** chance.random())
