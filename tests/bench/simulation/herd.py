"""The fleet as most are: places in groups whose instances live days and come back from a template, and long-lived machines that are
rebooted without a start; with probes, stray calls, and owners who put back by hand what breaks.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from imdsv2.domain.instance import InstanceArn
from tests.bench.simulation.assumptions import (
    ACCOUNTS,
    BEGIN,
    BOOT_CALL_AFTER,
    DAY,
    DAYS,
    DOWN,
    END,
    HOUR,
    OFFICE_HOURS,
    OLDEST_DAYS,
    OPEN_SHARE,
    PARKED_DAYS,
    PAST,
    PATCHED_EVERY_DAYS,
    REGIONS,
    RESTARTS_EVERY_DAYS,
    YOUNGEST_COHORT_DAYS,
)
from tests.bench.simulation.calls import Rhythm, calls_of, log_uniform, lost_hours
from tests.bench.simulation.machine import HIDDEN, Machine, Mix, Software
from tests.bench.simulation.office import office_days

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {
    "group": 0.4,
    "office": 0.1,
    "batch": 0.02,
    "stopped": 0.05,
    "reboots": 0.4 / 3,
    "long": 0.8 / 3,
    "unlike": 0.03,
}
"""What the places are, by share: members of groups; office hours; batch; stopped; long-lived and never started for more than
455 days, but rebooted every month; long-lived and started now and then; and no two alike."""
MEDIAN_LIFE_DAYS, LONG_LIFE = 3, (0.1, 30)
"""Of a group's member: the median, and a tenth lives longer than thirty days."""
TEMPLATE_EVERY_DAYS = 30
LARGEST_GROUP = 100
STRAY_SHARE, STRAY_EVERY_DAYS = 0.1, 100
PROBED_SHARE, PROBED_EVERY_DAYS = 0.05, 30
DARK_SHARE, DARK_HOURS = 0.01, 0.05
PATIENCE_HOURS, PATIENCE_SPREAD = 8, 1.0
"""Working hours: the median, and the spread of the logarithm."""
REBOOTED_SINCE_DAYS = (460, 900)
_SPREAD_OF_LIFE = 1.797
"""Of the logarithm: ln(30/3) over the normal quantile of 0.9."""


def build_herd(seed: int, mix: Mix) -> list[Machine]:
    """A fleet of so many places; the same for the same seed and mix. Instances come and go, so there are more of them."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    numbers = count(1)
    machines: list[Machine] = []
    left = mix.instances
    for group in count():
        if not left:
            return machines
        kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
        size = 1 if kind == "unlike" else min(left, int(log_uniform(chance, 1, LARGEST_GROUP + 1)))
        left -= size
        machines += _Group(chance, f"{kind}-{group}", kind, mix, numbers).machines(size)
    raise AssertionError


class _Group:
    """Places that run the same software in the same way."""

    def __init__(self, chance: random.Random, name: str, kind: str, mix: Mix, numbers: count[int]) -> None:
        self._chance, self._name, self._kind, self._mix, self._numbers = chance, name, kind, mix, numbers
        accounts = [f"{number:012}" for number in range(1, ACCOUNTS + 1)]
        self._account = chance.choices(accounts, [1 / rank for rank in range(1, ACCOUNTS + 1)])[0]
        self._region = chance.choices(list(REGIONS), [share for share, _ in REGIONS.values()])[0]
        self._rhythm = Rhythm(chance)
        self._is_open = chance.random() < OPEN_SHARE
        self._phase = chance.uniform(0, TEMPLATE_EVERY_DAYS * DAY)
        # Drawn apart, so that the fleet is the same whatever the share of such reboots.
        self._reboots = random.Random(f"{name} {self._phase}")  # noqa: S311 - a simulation, not a secret
        self._templates: dict[int, Software] = {}

    def machines(self, size: int) -> Iterator[Machine]:
        for _ in range(size):
            if self._kind == "group":
                yield from self._generations()
            else:
                yield self._machine(*self._life(), alone=self._chance.random() < self._mix.alone)

    def _generations(self) -> Iterator[Machine]:
        """One place of a group: an instance after the other, each from the template of its day."""
        begin = int(BEGIN - self._chance.random() * self._life_of_a_member())
        while begin < END:
            end = int(begin + self._life_of_a_member())
            yield self._machine(begin, [(begin, min(end, END))], (), ended=end)
            begin = end + self._chance.randint(60, 600)

    def _life_of_a_member(self) -> float:
        return max(HOUR, MEDIAN_LIFE_DAYS * DAY * self._chance.lognormvariate(0, _SPREAD_OF_LIFE))

    def _life(self) -> tuple[int, list[tuple[int, int]], tuple[int, ...]]:
        """First launch, runs, and reboots without a start."""
        chance = self._chance
        if self._kind == "reboots":
            first = int(BEGIN - chance.uniform(*REBOOTED_SINCE_DAYS) * DAY)
            phase = chance.uniform(0, PATCHED_EVERY_DAYS * DAY)
            return first, [(first, END)], tuple(range(int(PAST + phase), END, PATCHED_EVERY_DAYS * DAY))
        first = int(BEGIN - log_uniform(chance, YOUNGEST_COHORT_DAYS, OLDEST_DAYS) * DAY)
        if self._kind == "office":
            return first, [(first, first + HOUR), *office_days(OFFICE_HOURS, self._region, first + HOUR)], ()
        if self._kind == "batch":
            days = [day for day in office_days(OFFICE_HOURS, self._region, first + HOUR) if chance.random() < 0.6]
            return first, [(first, first + HOUR), *days], ()
        if self._kind == "stopped":
            stopped = max(first + HOUR, int(BEGIN - log_uniform(chance, *PARKED_DAYS) * DAY))
            again = int(chance.uniform(BEGIN, END + DAYS * DAY))
            return first, [(first, stopped), *([(again, END)] if again < END else [])], ()
        return first, list(self._restarted(first)), ()

    def _restarted(self, first: int) -> Iterator[tuple[int, int]]:
        start, when = first, float(first)
        while (when := when + self._chance.expovariate(1 / (RESTARTS_EVERY_DAYS * DAY))) < END:
            if when - start > HOUR:
                yield start, int(when)
                start = int(when) + DOWN
        yield start, END

    def _machine(
        self,
        first: int,
        runs: list[tuple[int, int]],
        reboots: tuple[int, ...],
        *,
        ended: int | None = None,
        alone: bool = False,
    ) -> Machine:
        chance = self._chance
        software = self._software(first, alone=alone)
        known = [run for run in runs if run[1] > PAST] or runs[-1:]
        machine = Machine(
            arn=InstanceArn("aws", self._region, self._account, f"i-{next(self._numbers):017x}"),
            group=self._name,
            software=software,
            first_launched=first,
            runs=known,
            calls=calls_of(chance, self._rhythm, software, known),
            lost_hours=lost_hours(chance),
            kind=self._kind,
            reboots=reboots,
            by_api=bool(reboots) and self._reboots.random() < self._mix.by_api,
            ended=float("inf") if ended is None or ended >= END else ended,
            dark_hours=self._dark_hours(),
            patience=PATIENCE_HOURS * chance.lognormvariate(0, PATIENCE_SPREAD),
            version=self._template(first) if self._kind == "group" else None,
        )
        if software is Software.BOOT:
            at_reboots = [reboot + chance.randint(*BOOT_CALL_AFTER) for reboot in reboots]
            machine = replace(machine, calls=tuple(sorted([*machine.calls, *at_reboots])))
        return replace(
            machine, others=tuple(sorted(each for each in self._others(software) if machine.is_running(each)))
        )

    def _software(self, launched: int, *, alone: bool) -> Software:
        """What it runs: a group what its template of that day says, the others what their place or their cohort has."""
        template = self._template(launched) if self._kind == "group" else -1
        if alone and self._kind != "group":
            return self._drawn()
        if template not in self._templates:
            self._templates[template] = self._drawn()
        return self._templates[template]

    def _template(self, launched: int) -> int:
        """The version of the group's template on that day."""
        return 100 + int((launched - PAST + self._phase) // (TEMPLATE_EVERY_DAYS * DAY))

    def _drawn(self) -> Software:
        if self._is_open:
            return Software.OPEN
        kinds = [
            kind
            for kind in HIDDEN
            if (kind is Software.OFFICE) == (self._kind == "office") or kind is not Software.OFFICE
        ]
        lot = self._chance.random()
        for kind in kinds:
            lot -= self._mix.hidden.get(kind, 0) * len(HIDDEN) / len(kinds)
            if lot < 0:
                return kind
        return Software.SAFE

    def _others(self, software: Software) -> Iterator[int]:
        """Probes by others, one in each month at some time, and stray calls of safe software."""
        chance = self._chance
        if chance.random() < PROBED_SHARE:
            for month in range(PAST, END, PROBED_EVERY_DAYS * DAY):
                yield chance.randrange(month, month + PROBED_EVERY_DAYS * DAY)
        if software is Software.SAFE and chance.random() < STRAY_SHARE:
            when = float(PAST)
            while (when := when + chance.expovariate(1 / (STRAY_EVERY_DAYS * DAY))) < END:
                yield int(when)

    def _dark_hours(self) -> frozenset[int]:
        if self._chance.random() >= DARK_SHARE:
            return frozenset()
        return frozenset(hour for hour in range(PAST // HOUR, END // HOUR) if self._chance.random() < DARK_HOURS)
