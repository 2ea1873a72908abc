"""Where two functions may meet: what has become of an instance, and who comes by there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.integration.builders import LEASE, MEMBER
from tests.proof.crashes import functions
from tests.proof.crashes.calls import Point, Process
from tests.proof.crashes.functions import Queue
from tests.proof.crashes.schedules import attempt
from tests.proof.crashes.world import World

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn

Act = Callable[[Process], Any]
Scene = tuple[World, Queue, "InstanceArn"]

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def found(**policy: Any) -> Scene:
    """Security Hub has found it."""
    world = World(**policy)
    arn = world.launch(MEMBER, "ami-one")
    return world, Queue(world), arn


def held() -> Scene:
    """It waits for approval, and is due."""
    scene = found(approval="required")
    _answered(scene)
    scene[0].advance(25 * HOUR)
    return scene


def left_enforcing(when: str) -> Scene:
    """A run has died over its change, and its lease is over."""
    scene = found()
    world, queue, arn = scene
    queue.put([arn])
    attempt(queue.deliver, Process(Point(call="ModifyInstanceMetadataOptions required", when=when)))
    world.advance(LEASE + MINUTE)
    return scene


def clean() -> Scene:
    """Its watch is over, and nothing was refused."""
    scene = found()
    _answered(scene)
    scene[0].advance(7 * HOUR)
    return scene


def broken() -> Scene:
    """Its calls are refused, and it is due."""
    scene = found()
    world, _, arn = scene
    _answered(scene)
    world.callers.add(arn)
    world.advance(11 * MINUTE)
    return scene


def left_rolling_back(when: str) -> Scene:
    """A pass of the guard has died over its rollback, and its lease is over."""
    scene = broken()
    world, _, _ = scene
    attempt(partial(functions.guard, world), Process(Point(call="ModifyInstanceMetadataOptions optional", when=when)))
    world.advance(LEASE + MINUTE)
    return scene


def put_back() -> Scene:
    """It was put back, and its software is mended."""
    scene = broken()
    world, _, _ = scene
    functions.guard(world, Process())
    world.callers.clear()
    world.advance(72 * HOUR)
    return scene


def opened() -> Scene:
    """Somebody has opened it."""
    scene = found()
    world, _, arn = scene
    _answered(scene)
    world.advance(HOUR)
    world.instances[arn].options["HttpTokens"] = "optional"
    return scene


STATES: Mapping[str, Callable[[], Scene]] = {
    "found": found,
    "held": held,
    "left enforcing, unchanged": partial(left_enforcing, "before"),
    "left enforcing, changed": partial(left_enforcing, "after"),
    "clean": clean,
    "broken": broken,
    "left rolling back, unchanged": partial(left_rolling_back, "before"),
    "left rolling back, changed": partial(left_rolling_back, "after"),
    "put back": put_back,
    "opened": opened,
}


def acts(scene: Scene) -> dict[str, Act]:
    """Who may come by."""
    world, queue, arn = scene
    named: dict[str, Any] = {"targets": [str(arn)]}
    queue.put([arn])
    return {
        "remediate": queue.deliver,
        "revisit": partial(functions.revisit, world),
        "guard": partial(functions.guard, world),
        "sweep": partial(functions.sweep, world, account=MEMBER),
        "manual": partial(functions.manual, world, arns=[arn]),
        "undo": partial(functions.command, world, undo=named),
        "approve": partial(functions.command, world, approve=named),
        "clear": partial(functions.command, world, clear=named),
    }


ACTS = ("remediate", "revisit", "guard", "sweep", "manual", "undo", "approve", "clear")


def _answered(scene: Scene) -> None:
    _, queue, arn = scene
    queue.put([arn])
    queue.deliver(Process())
