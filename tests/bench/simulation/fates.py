"""One fleet, each way of enforcing: what was done to every instance, and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.simulation.assumptions import BEGIN, DAY, DAYS, END, HOUR
from tests.bench.simulation.fleet import build
from tests.bench.simulation.life import Life
from tests.bench.simulation.machine import HIDDEN, Software

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.domain.policy import Policy
    from tests.bench.simulation.machine import Machine
    from tests.bench.simulation.variants import Variant

CLEAN_DAYS = 14
NOTICED_AFTER = 72
"""Hours until people notice breakage themselves, in the more lenient calculation."""
REACHED_BY = (1, 3, 7, 14, 30, 60, DAYS)
FAILED_WITHIN = (1, 7, 35, DAYS)
SERVICE, CLEAN, AT_ONCE = "service", "clean", "at_once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What was done to an instance: when tokens were required, and when they were made optional again."""

    machine: Machine
    required_at: float | None
    restored_at: float | None = None

    @property
    def broken_from(self) -> float | None:
        """The first call that failed."""
        if self.required_at is None:
            return None
        failed = self.machine.calls_between(self.required_at, self.restored_at or END)
        return failed[0] if failed else None

    @property
    def hours_broken(self) -> float:
        return ((self.restored_at or END) - self.broken_from) / HOUR if self.broken_from is not None else 0.0


def simulate(seed: int, variant: Variant) -> dict[str, Any]:
    """One fleet, each way of enforcing."""
    machines = build(seed, variant.mix)
    life = Life(machines, variant.policy, guarded=variant.guarded, recalls=variant.recalls)
    life.run(seed)
    served = [
        Fate(machine=each.machine, required_at=each.required_at, restored_at=each.restored_at)
        for each in life.instances.values()
    ]
    left = Counter(
        life.ledger.standing(fate.machine.arn).reason.value
        for fate in served
        if fate.machine.software is Software.SAFE and fate.required_at is None
    )
    return {
        "fleet": Counter(machine.software.value for machine in machines),
        SERVICE: _sum_up(served)
        | {
            "minutes_to_put_back": sorted(round(fate.hours_broken * 60) for fate in served if fate.restored_at),
            "why": _why(served, variant.policy),
            "first_failed": _first_failed(served),
            "left": dict(sorted(left.items())),
            "breakers_opened": life.breakers_opened,
        },
        CLEAN: _sum_up(Fate(machine=each, required_at=first_clean(each, CLEAN_DAYS)) for each in machines),
        AT_ONCE: _sum_up(Fate(machine=each, required_at=BEGIN) for each in machines),
    }


def first_clean(machine: Machine, days: int) -> float | None:
    """When the metric's sum over so many days is first seen to be zero on an instance that runs; missing data are zero."""
    when = float(BEGIN)
    while when < END:
        calls = machine.calls_between(when - days * DAY, when)
        if calls:
            when = calls[-1] + days * DAY + 1
        elif machine.is_running(when):
            return when
        else:
            when = machine.next_start(when) or END
    return None


def _sum_up(fates: Iterable[Fate]) -> dict[str, Any]:
    enforced: Counter[str] = Counter()
    broke: Counter[str] = Counter()
    put_back: Counter[str] = Counter()
    hours: defaultdict[str, float] = defaultdict(float)
    noticed: defaultdict[str, float] = defaultdict(float)
    reached: Counter[str] = Counter()
    for fate in fates:
        software = fate.machine.software.value
        if fate.required_at is None:
            continue
        enforced[software] += 1
        if fate.machine.software is Software.SAFE:
            reached.update(str(day) for day in REACHED_BY if fate.required_at <= BEGIN + day * DAY)
        if fate.broken_from is not None:
            broke[software] += 1
            put_back[software] += fate.restored_at is not None
            hours[software] += fate.hours_broken
            noticed[software] += min(fate.hours_broken, NOTICED_AFTER)
    return {
        "enforced": enforced,
        "broke": broke,
        "put_back": put_back,
        "hours": {software: round(value, 1) for software, value in hours.items()},
        "noticed_hours": {software: round(value, 1) for software, value in noticed.items()},
        "reached": reached,
    }


def _why(fates: Iterable[Fate], policy: Policy) -> dict[str, Counter[str]]:
    """Why what broke had been enforced, by kind: what there was to be seen before."""
    why: dict[str, Counter[str]] = {kind: Counter() for kind in HIDDEN}
    for fate in fates:
        if fate.machine.software in HIDDEN and fate.broken_from is not None and fate.required_at is not None:
            why[fate.machine.software][_seen_before(fate.machine, fate.required_at, policy)] += 1
    return why


def _first_failed(fates: Iterable[Fate]) -> Counter[str]:
    """How many days after the change, at most, the first call of a hidden breaker failed."""
    waits = [
        (fate.broken_from - fate.required_at) / DAY
        for fate in fates
        if fate.machine.software in HIDDEN and fate.broken_from is not None and fate.required_at is not None
    ]
    return Counter(str(next(day for day in FAILED_WITHIN if wait <= day)) for wait in waits)


def _seen_before(machine: Machine, required_at: float, policy: Policy) -> str:
    before = machine.calls_between(0, required_at)
    if not before and machine.first_launched > required_at - policy.lookback_days * DAY:
        return "young"
    if not before:
        return "never"
    return "older" if before[-1] < required_at - policy.lookback_days * DAY else "inside"
