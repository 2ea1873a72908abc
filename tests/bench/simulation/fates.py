"""One fleet, each way of enforcing: what was done to every instance, and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.bench.simulation.assumptions import BEGIN, DAY, DAYS, END, HOUR
from tests.bench.simulation.fleet import build
from tests.bench.simulation.herd import build_herd
from tests.bench.simulation.life import Life
from tests.bench.simulation.machine import HIDDEN, Software
from tests.bench.simulation.office import after_working_hours
from tests.bench.simulation.openness import openness

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
    by_hand: bool = False

    @property
    def broken_from(self) -> float | None:
        """The first call that failed."""
        if self.required_at is None:
            return None
        failed = self.machine.calls_between(self.required_at, self.restored_at or END)
        return failed[0] if failed else None

    @property
    def hours_broken(self) -> float:
        """Until it was put back; what runs at boot is broken until the next boot after that."""
        if self.broken_from is None:
            return 0.0
        works_again = self.restored_at
        if works_again is not None and self.machine.kind and self.machine.software is Software.BOOT:
            works_again = self.machine.next_boot(works_again)
        return (min(works_again or END, self.machine.ended, END) - self.broken_from) / HOUR

    @property
    def was_opened_for_nothing(self) -> bool:
        """Whether the service put it back, although none of its software was refused anything that it needs."""
        return self.restored_at is not None and not self.by_hand and self.broken_from is None


def simulate(seed: int, variant: Variant) -> dict[str, Any]:
    """One fleet, each way of enforcing."""
    machines = build_herd(seed, variant.mix) if variant.herd else build(seed, variant.mix)
    life = Life(
        machines,
        variant.policy,
        guarded=variant.guarded,
        recalls=variant.recalls,
        cohorts=variant.cohorts,
        source=variant.source,
        owners=variant.owners,
        seed=seed,
    )
    life.run(seed)
    served = [
        Fate(machine=each.machine, required_at=each.required_at, restored_at=each.restored_at, by_hand=each.by_hand)
        for arn, each in life.instances.items()
        if life.ledger.knows(arn)
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
            "opened_for_nothing": sum(fate.was_opened_for_nothing for fate in served),
            "by_kind": _by_kind(served),
            "zero": openness(served) if variant.herd else {},
        },
        CLEAN: _sum_up(_owned(each, first_clean(each, CLEAN_DAYS)) for each in machines),
        AT_ONCE: _sum_up(_owned(each, max(BEGIN, each.first_launched)) for each in machines if each.ended > BEGIN),
    }


def _owned(machine: Machine, required_at: float | None) -> Fate:
    """What becomes of an instance that nobody watches: its owner puts it back by hand, where owners do."""
    fate = Fate(machine=machine, required_at=required_at)
    if fate.broken_from is None or machine.patience is None:
        return fate
    restored_at = after_working_hours(fate.broken_from, machine.patience)
    return replace(fate, restored_at=restored_at, by_hand=True) if restored_at < min(END, machine.ended) else fate


def first_clean(machine: Machine, days: int) -> float | None:
    """When the metric's sum over so many days is first seen to be zero on an instance that runs; missing data are zero."""
    when = float(max(BEGIN, machine.first_launched))
    while when < min(END, machine.ended):
        calls = machine.asked_between(when - days * DAY, when)
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


def _by_kind(fates: Iterable[Fate]) -> dict[str, dict[str, float]]:
    """By kind of place: truly safe instances, how many of them were enforced, and their hours of life before and after."""
    kinds: dict[str, dict[str, float]] = {}
    for fate in fates:
        machine = fate.machine
        if machine.software is not Software.SAFE or machine.ended <= BEGIN:
            continue
        known = kinds.setdefault(machine.kind, {"safe": 0, "enforced": 0, "hours": 0.0, "open_hours": 0.0})
        begin, end = max(BEGIN, machine.first_launched), min(machine.ended, END)
        closed = end - min(fate.required_at, end) if fate.required_at is not None else 0.0
        known["safe"] += 1
        known["enforced"] += fate.required_at is not None
        known["hours"] += (end - begin) / HOUR
        known["open_hours"] += (end - begin - closed) / HOUR
    return {kind: {name: round(value) for name, value in known.items()} for kind, known in sorted(kinds.items())}


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
