"""Lives of an instance, with the ledger as it was at each of their moments."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.integration.builders import LEASE, MEMBER
from tests.proof.crashes import functions
from tests.proof.crashes.calls import Point, Process
from tests.proof.crashes.functions import Queue
from tests.proof.crashes.schedules import Stage, attempt, settle
from tests.proof.crashes.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsv2.domain.instance import InstanceArn

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Life:
    """An instance, and copies of the table by the moment at which they were made."""

    world: World = field(default_factory=World)
    copies: dict[str, dict[tuple[str, str], Any]] = field(default_factory=dict)
    arn: InstanceArn = field(init=False)
    queue: Queue = field(init=False)

    def __post_init__(self) -> None:
        self.arn = self.world.launch(MEMBER, "ami-one")
        self.queue = Queue(self.world)
        self.copy("nothing")

    def copy(self, moment: str) -> None:
        """What a point-in-time recovery to now would restore."""
        self.copies[moment] = copy.deepcopy(self.world.table.items)

    def restore(self, moment: str) -> None:
        """The table is as it was then; everything else goes on, and Security Hub reports the instance again."""
        self.world.table.items.clear()
        self.world.table.items.update(copy.deepcopy(self.copies[moment]))
        self.world.told.clear()
        self.world.witness.changes.clear()
        self.queue.put([self.arn])
        self.goes_on()

    def goes_on(self) -> None:
        """Days pass: the queue is delivered, schedules run."""
        settle(Stage(world=self.world, queue=self.queue, act=lambda _: None), "line first")

    def is_found(self, run: Process | None = None) -> None:
        """A finding arrives."""
        self.queue.put([self.arn])
        attempt(self.queue.deliver, run or Process())

    def guard(self) -> None:
        """The guard passes."""
        functions.guard(self.world, Process())


def healthy() -> Life:
    """Enforced in two runs, of which the first died before its change, and verified."""
    life = Life()
    life.is_found(Process(Point(call="ModifyInstanceMetadataOptions required", when="before")))
    life.copy("enforcing")
    life.world.advance(LEASE + MINUTE)
    functions.revisit(life.world, Process())
    life.copy("enforced")
    life.world.advance(7 * HOUR)
    life.guard()
    life.copy("verified")
    life.world.advance(HOUR)
    return life


def broken(*, mended: bool) -> Life:
    """Enforced, and put back because its calls were refused; its software may call no more."""
    life = Life()
    life.is_found()
    life.copy("enforced")
    life.world.callers.add(life.arn)
    life.world.advance(11 * MINUTE)
    life.guard()
    life.copy("put back")
    if mended:
        life.world.callers.clear()
    life.world.advance(HOUR)
    return life


def undone() -> Life:
    """Enforced, and put back for a person."""
    life = Life()
    life.is_found()
    life.copy("enforced")
    life.world.advance(HOUR)
    functions.command(life.world, Process(), undo={"targets": [str(life.arn)]})
    life.copy("undone")
    life.world.advance(HOUR)
    return life


LIVES: Mapping[str, Callable[[], Life]] = {
    "healthy": healthy,
    "broken": partial(broken, mended=False),
    "broken and mended": partial(broken, mended=True),
    "undone": undone,
}
