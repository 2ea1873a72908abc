"""The fleet of the safety simulation: cohorts of instances, what software they run, and when they are started and stopped."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from imdsv2.domain.instance import InstanceArn
from tests.bench.simulation.assumptions import (
    ACCOUNTS,
    BEGIN,
    BREAK_DAYS,
    BREAK_SHARE,
    DAY,
    DAYS,
    DOWN,
    END,
    HABITS,
    HOUR,
    LARGEST_COHORT,
    OFFICE_HOURS,
    OLDEST_DAYS,
    OPEN_SHARE,
    PARKED_DAYS,
    PARKED_SHARE,
    PAST,
    PATCHED_EVERY_DAYS,
    REGIONS,
    REPLACED_SHARE,
    RESTARTS_EVERY_DAYS,
    YOUNGEST_COHORT_DAYS,
)
from tests.bench.simulation.calls import Rhythm, calls_of, log_uniform, lost_hours
from tests.bench.simulation.machine import Machine, Mix, Software
from tests.bench.simulation.office import office_days

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


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
    rhythms = {group.name: Rhythm(chance) for group in groups}
    return [
        Machine(
            arn=arn,
            group=group.name,
            software=kind,
            first_launched=first,
            runs=runs,
            calls=calls_of(chance, rhythms[group.name], kind, runs),
            lost_hours=lost_hours(chance),
        )
        for group, arn, kind, first, runs in machines
    ]


def _groups(chance: random.Random, instances: int) -> Iterator[_Group]:
    accounts = [f"{number:012}" for number in range(1, ACCOUNTS + 1)]
    left = instances
    for number in count():
        size = min(left, int(log_uniform(chance, 1, LARGEST_COHORT + 1)))
        absent_from = BEGIN + chance.uniform(-35, DAYS) * DAY
        absent_for = chance.uniform(*BREAK_DAYS) * DAY if chance.random() < BREAK_SHARE else 0.0
        yield _Group(
            name=f"group-{number}",
            account=chance.choices(accounts, [1 / rank for rank in range(1, ACCOUNTS + 1)])[0],
            region=chance.choices(list(REGIONS), [share for share, _ in REGIONS.values()])[0],
            size=size,
            habit=chance.choices(list(HABITS), list(HABITS.values()))[0],
            age_days=log_uniform(chance, YOUNGEST_COHORT_DAYS, OLDEST_DAYS),
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
        days = list(office_days(OFFICE_HOURS, group.region, first + HOUR, group.absent))
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
    stopped = max(first + HOUR, int(BEGIN - log_uniform(chance, *PARKED_DAYS) * DAY))
    kept = [(begin, min(end, stopped)) for begin, end in runs if begin < stopped]
    again = int(chance.uniform(BEGIN, END + DAYS * DAY))
    return [*kept, (again, END)] if again < END else kept
