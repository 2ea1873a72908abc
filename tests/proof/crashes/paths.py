"""The paths on which a function may die: a world for each, and the invocation in it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from tests.integration.builders import LEASE, MEMBER, OTHER
from tests.proof.crashes import functions
from tests.proof.crashes.calls import Point, Process
from tests.proof.crashes.functions import Queue
from tests.proof.crashes.schedules import Stage, attempt
from tests.proof.crashes.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from imdsv2.domain.instance import InstanceArn

    Path = Callable[[], Stage]

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
FLEET = ((MEMBER, "ami-one"), (MEMBER, "ami-one"), (MEMBER, "ami-two"), (OTHER, "ami-one"))


def remediate(**policy: Any) -> Stage:
    """Findings of four instances in two accounts; one of them uses IMDSv1."""
    world = World(**policy)
    arns = [world.launch(*each) for each in FLEET]
    user = world.launch(MEMBER, "ami-one")
    world.callers.add(user)
    world.advance(10 * MINUTE)
    world.callers.clear()
    queue = Queue(world)
    queue.put([*arns, user])
    return Stage(world=world, queue=queue, act=queue.deliver)


def notice() -> Stage:
    """Findings of instances with owners, who are given notice."""
    world = World(notice_hours=12)
    arns = [world.launch(*each, tags={"owner": "team"}) for each in FLEET[:2]]
    queue = Queue(world)
    queue.put(arns)
    return Stage(world=world, queue=queue, act=queue.deliver)


def approve() -> Stage:
    """A person approves what waits for it."""
    world, arns, queue = _judged(approval="required")
    act = partial(functions.command, world, approve={"targets": [str(each) for each in arns]})
    return Stage(world=world, queue=queue, act=act, repeats=True)


def revisit() -> Stage:
    """Instances that were too young are due."""
    world = World()
    arns = [world.launch(*each, age=5 * HOUR) for each in FLEET]
    queue = Queue(world)
    queue.put(arns)
    queue.deliver(Process())
    world.advance(25 * HOUR)
    return Stage(world=world, queue=queue, act=partial(functions.revisit, world))


def verify() -> Stage:
    """The watch of what was enforced is over."""
    world, _, queue = _judged()
    world.advance(7 * HOUR)
    return Stage(world=world, queue=queue, act=partial(functions.guard, world))


def rollback() -> Stage:
    """Three of four break, and then one in another account: the breaker of the first opens."""
    world, arns, queue = _judged(more=1)
    world.callers |= {arns[0], arns[1], arns[2], arns[3]}
    world.advance(11 * MINUTE)
    return Stage(world=world, queue=queue, act=partial(functions.guard, world))


def recall() -> Stage:
    """What was proved healthy breaks hours later."""
    world, arns, queue = _judged()
    world.advance(7 * HOUR)
    functions.guard(world, Process())
    world.advance(20 * HOUR)
    world.callers |= {arns[0], arns[2]}
    world.advance(11 * MINUTE)
    return Stage(world=world, queue=queue, act=partial(functions.guard, world))


def let_go() -> Stage:
    """Somebody opens one that had calls refused, and another is gone."""
    world, arns, queue = _judged()
    world.callers |= {arns[0]}
    world.advance(11 * MINUTE)
    world.callers.clear()
    world.instances[arns[0]].options["HttpTokens"] = "optional"
    world.instances[arns[1]].terminate(world.clock())
    return Stage(world=world, queue=queue, act=partial(functions.guard, world))


def restart() -> Stage:
    """One restarts under watch, and one after it was proved healthy."""
    world, arns, queue = _judged()
    world.advance(HOUR)
    world.instances[arns[0]].start(world.clock())
    world.advance(20 * MINUTE)
    return Stage(world=world, queue=queue, act=partial(functions.guard, world))


def undo() -> Stage:
    """A person wants three back, one of which had a call refused, as people have been told."""
    world, arns, queue = _judged()
    world.callers |= {arns[0]}
    world.advance(5 * MINUTE)
    world.callers.clear()
    functions.guard(world, Process())
    act = partial(functions.command, world, undo={"targets": [str(each) for each in arns[:3]]})
    return Stage(world=world, queue=queue, act=act, repeats=True)


def sweep() -> Stage:
    """The sweep finds what no finding reports."""
    world = World()
    for each in FLEET:
        world.launch(*each, found=False)
    act = partial(functions.sweep, world, account=MEMBER)
    return Stage(world=world, queue=Queue(world), act=act, repeats=True)


def manual() -> Stage:
    """A person has three instances changed."""
    world = World()
    arns = [world.launch(*each) for each in FLEET]
    return Stage(world=world, queue=Queue(world), act=partial(functions.manual, world, arns=arns), repeats=True)


def take_over() -> Stage:
    """A run has died after its first change, and its lease is over."""
    world = World()
    queue = Queue(world)
    queue.put([world.launch(*each) for each in FLEET])
    attempt(queue.deliver, Process(Point(call="ModifyInstanceMetadataOptions required", when="after")))
    world.advance(LEASE + MINUTE)
    return Stage(world=world, queue=queue, act=partial(functions.revisit, world))


def finish_rollback() -> Stage:
    """A pass of the guard has died after its first rollback, and its lease is over."""
    stage = rollback()
    attempt(stage.act, Process(Point(call="ModifyInstanceMetadataOptions optional", when="after")))
    stage.world.advance(LEASE + 5 * MINUTE)
    return stage


def _judged(*, more: int = 0, **policy: Any) -> tuple[World, list[InstanceArn], Queue]:
    """A world in which findings of all instances have been answered; ``more``: instances beside the usual fleet."""
    world = World(**policy)
    arns = [world.launch(*each) for each in (*FLEET, *more * [(MEMBER, "ami-three")])]
    queue = Queue(world)
    queue.put(arns)
    queue.deliver(Process())
    return world, arns, queue


PATHS: Mapping[str, Path] = {
    "remediate": remediate,
    "canary": partial(remediate, canary={"share": 0.5, "hours": 6}),
    "notice": notice,
    "approve": approve,
    "revisit": revisit,
    "take over": take_over,
    "verify": verify,
    "rollback": rollback,
    "finish rollback": finish_rollback,
    "recall": recall,
    "let go": let_go,
    "restart": restart,
    "undo": undo,
    "sweep": sweep,
    "manual": manual,
}
