"""The matrix: each path, ended at each point of its recorded calls, compared with the same path without an end."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.proof.crashes.ending import differences, ending
from tests.proof.crashes.likeness import likeness
from tests.proof.crashes.schedules import ORDERS, die, settle

if TYPE_CHECKING:
    from tests.proof.crashes.calls import Point, Process
    from tests.proof.crashes.paths import Path


@dataclass(slots=True, kw_only=True)
class Result:
    """``violations``: by name of the point, what was wrong at each. ``points`` of ``exist`` were run."""

    exist: int
    points: int = 0
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __str__(self) -> str:
        lines = [f"{self.points} of {self.exist} points, {sum(map(len, self.violations.values()))} violations"]
        for name, several in sorted(self.violations.items()):
            lines += [f"  {name}", *(f"    {each}" for each in several)]
        return "\n".join(lines)


def try_path(path: Path, *, every: bool) -> Result:
    """End a path at its points: with ``every``, at all of them in each order of what
    follows; else at one of each name, in one of the orders."""
    expected, points = {}, []
    for order in ORDERS:
        process, expected[order], wrong = _played(path, None, order)
        assert [] == wrong, wrong
        points = process.points()
    result = Result(exist=len(points))
    for number, point in enumerate(points):
        if point.nth and not every:
            continue
        result.points += 1
        for order in ORDERS if every else ORDERS[number % len(ORDERS) :][:1]:
            process, got, wrong = _played(path, point, order)
            assert process.is_dead, f"{point} was not reached"
            found = wrong + differences(expected[order], got, told_again=_told_again(process))
            if found:
                result.violations[point.name].append(f"{point} ({order}): " + "; ".join(found))
    return result


_futures: dict[str, tuple[dict[str, Any], list[str]]] = {}
"""What came of it, by all that the death left behind: the time after it is without chance."""


def _played(path: Path, point: Point | None, order: str) -> tuple[Process, dict[str, Any], list[str]]:
    random.seed(1)
    stage = path()
    process, due = die(stage, point, order)
    state = "|".join((str(path), order, str(due), likeness(stage.world, stage.queue)))
    if state not in _futures:
        settle(stage, order, due)
        _futures[state] = ending(stage.world), stage.world.witness.wrong
    end, wrong = _futures[state]
    return process, end, wrong


def _told_again(process: Process) -> bool:
    """Whether it has sent something and had no time to write that down."""
    sent = [number for number, call in enumerate(process.done) if call.startswith("Publish")]
    marked = [number for number, call in enumerate(process.done) if "notified_at" in call]
    return bool(sent) and (not marked or marked[-1] < sent[-1])
