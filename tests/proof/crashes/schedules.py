"""What goes on when a function has died: the queue delivers again, schedules start the others, people repeat what failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.proof.crashes import functions
from tests.proof.crashes.calls import Killed, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tests.proof.crashes.calls import Point
    from tests.proof.crashes.functions import Queue
    from tests.proof.crashes.world import World

ORDERS = ("line first", "guard first", "at once")
"""Who comes first after the death; `at once`: the same invocation again within a second."""

_MINUTES = timedelta(minutes=5)
STEPS: Sequence[timedelta] = (*9 * [_MINUTES], *11 * [12 * _MINUTES], *3 * [144 * _MINUTES], *2 * [288 * _MINUTES])
"""Five minutes, then hours, then half days, then days: leases, watches, notices and daily looks are all over by then."""
_REPEATED_AFTER = timedelta(minutes=10)


@dataclass(slots=True, kw_only=True)
class Stage:
    """A world in which a function is about to be invoked: ``act``. ``repeats``: whoever invoked it does so again if it fails."""

    world: World
    queue: Queue
    act: Callable[[Process], Any]
    repeats: bool = False


def die(stage: Stage, dies_at: Point | None, order: str) -> tuple[Process, datetime | None]:
    """The invocation, its death where it has to die, and what happens at once. Returns it, and when it is repeated by whoever made it."""
    process = Process(dies_at)
    attempt(stage.act, process)
    due = stage.world.clock() + _REPEATED_AFTER if process.is_dead and stage.repeats else None
    if order == "at once" and process.is_dead:
        stage.world.clock.move(seconds=1)
        attempt(stage.act, Process())
        due = None
    return process, due


def settle(stage: Stage, order: str, due: datetime | None = None) -> None:
    """Let schedules go on until nothing is left to be done. ``due``: when the invocation is repeated by whoever made it."""
    world = stage.world
    for step in STEPS:
        world.advance(step)
        if due is not None and world.clock() >= due:
            due = None
            attempt(stage.act, Process())
        line = [stage.queue.deliver, lambda process: functions.revisit(world, process)]
        guard = [lambda process: functions.guard(world, process)]
        for act in [*guard, *line] if order == "guard first" else [*line, *guard]:
            attempt(act, Process())


def attempt(act: Callable[[Process], Any], process: Process) -> None:
    """Invoke a function, which may die."""
    try:
        act(process)
    except Killed:
        assert process.is_dead
