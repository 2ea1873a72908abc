"""What a watch and a month in `observe` ask of CloudWatch and the ledger, counted while the service's own code does them.

Both are counted for two sizes of one account and Region; what lies between is linear, so the counts tell what belongs to each
instance and what to the place.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.wiring.guard import build_guard
from tests.bench.cost.world import World, one_after_the_other

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Counts = Mapping[str, float]

SIZES = (40, 80)
BETWEEN_PASSES, A_MINUTE = timedelta(minutes=5), timedelta(minutes=1)
UNTIL_STARTED = timedelta(hours=40)
"""From the change to the next start: by then what is verified is no longer looked at again for what came late."""
DAYS = 8
"""Those after the first, on which everything is judged for the first time. Refused calls are read on one of them."""
DRIFT = 5 * 60
"""Seconds by which the nightly sweep reaches a place sooner or later than the night before."""
USED = 0.2


def per(what: Callable[[int], Counts], sizes: tuple[int, int] = SIZES) -> dict[str, dict[str, float]]:
    """Counts for each instance and for each place, from two sizes of a place."""
    with one_after_the_other():
        few, many = (what(size) for size in sizes)
    difference = sizes[1] - sizes[0]
    instance = {unit: (many[unit] - few.get(unit, 0)) / difference for unit in sorted(many)}
    # Where chance has made fewer calls of the larger place, the smaller one is no reason to subtract any.
    place = {unit: max(0.0, few.get(unit, 0) - each * sizes[0]) for unit, each in instance.items()}
    return {"instance": _rounded(instance), "place": _rounded(place)}


def watch(instances: int, **policy: Any) -> Counts:
    """Both watches of instances that were enforced and turn out healthy, to their end; and how many passes they took."""
    world = World(instances, mode="enforce", **policy)
    world.judge()
    world.bill.clear()
    since, passes = world.clock(), 0
    while world.clock() - since < UNTIL_STARTED:
        passes += _pass(world)
    if world.statuses() != {"verified": instances}:
        raise RuntimeError(f"not all were verified: {world.statuses()}")
    world.restart()
    while world.service.line.ledger.indexes.watched("aws/222222222222"):
        passes += _pass(world)
    return {**world.bill, "passes": passes}


def _pass(world: World) -> int:
    world.advance(BETWEEN_PASSES)
    done = build_guard(world.service).run("guard", lambda: True)
    if done.failed or done.rolled_back:
        raise RuntimeError(f"not a quiet pass: {done}")
    return 1


def observe(instances: int) -> Counts:
    """A day in `observe`, as the mean of eight: the nightly sweep, and what is due besides."""
    chance = random.Random(11)  # noqa: S311 - a simulation, not a secret
    random.seed(11)
    world = World(instances, used=round(instances * USED), mode="observe")
    world.sweep()
    world.bill.clear()
    for _ in range(DAYS):
        night = world.clock() + timedelta(days=1) + timedelta(seconds=chance.uniform(-DRIFT, DRIFT))
        world.advance(timedelta(hours=23))
        while world.clock() < night:
            world.revisit()
            world.advance(A_MINUTE)
        world.sweep()
    if world.statuses().keys() != {"would_enforce", "held"}:
        raise RuntimeError(f"not observed: {world.statuses()}")
    return {unit: number / DAYS for unit, number in world.bill.items()}


def _rounded(counts: Counts) -> dict[str, float]:
    return {unit: round(number, 4) for unit, number in counts.items() if round(number, 4)}
