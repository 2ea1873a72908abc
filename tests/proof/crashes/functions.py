"""One invocation of each function, as its handler makes it, in a process that may die."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from imdsv2.domain.instance import Place
from imdsv2.domain.request import Request, Source
from imdsv2.intake.run import DeadLetters, process
from imdsv2.people.command_request import Command
from imdsv2.people.request import JudgementOrder, parse
from imdsv2.sweep.run import go_through
from imdsv2.sweep.tally import Tally
from imdsv2.wiring.guard import build_guard
from imdsv2.wiring.intake import build_intake
from imdsv2.wiring.people import build_people
from tests.fixtures import events
from tests.integration.builders import EVENT_NAMES, REGION
from tests.proof.crashes.world import World, finding_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.domain.instance import InstanceArn
    from tests.proof.crashes.calls import Process

VISIBLE_AGAIN_AFTER = timedelta(minutes=30)
"""Six times the remediate function's time limit."""
_BATCH = 300


@dataclass(slots=True)
class Queue:
    """The queue of findings: what is not answered for is delivered again."""

    world: World
    messages: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """By id: the body, and from when on it can be received."""

    def put(self, arns: Iterable[InstanceArn]) -> None:
        """Security Hub sends a finding about each."""
        for arn in arns:
            failed = events.finding(str(arn), finding_id=finding_id(arn))
            self.messages[f"message-{arn.instance_id}"] = json.dumps(events.imported(failed)), self.world.clock()

    def deliver(self, run: Process) -> None:
        """The remediate function gets what can be received."""
        now = self.world.clock()
        received = {name: body for name, (body, since) in self.messages.items() if since <= now}
        if not received:
            return
        for name, body in received.items():
            self.messages[name] = body, now + VISIBLE_AGAIN_AFTER
        records = [{"messageId": name, "body": body} for name, body in received.items()]
        intake = build_intake(self.world.function(run))
        _, again, _ = process(records, intake, DeadLetters(cast("Any", None), "queue"), EVENT_NAMES, "remediate")
        for name in received.keys() - set(again):
            del self.messages[name]


def revisit(world: World, run: Process) -> None:
    """Judge what is due."""
    service = world.function(run)
    line = service.line
    now = line.now()
    claimed = line.ledger.claim(line.ledger.indexes.due(now, _BATCH), now + service.settings.lease)
    line.run([Request(arn=arn, source=Source.REVISIT) for arn in claimed], "revisit")


def guard(world: World, run: Process) -> None:
    """One pass."""
    build_guard(world.function(run)).run("guard", lambda: True)


def sweep(world: World, run: Process, account: str) -> None:
    """Judge what allows IMDSv1 in a place."""
    service = world.function(run)
    tally = Tally(place=Place("aws", REGION, account))
    go_through(service.line, service.clients, tally, "sweep", dry_run=False, has_time=lambda: True)


def manual(world: World, run: Process, arns: Iterable[InstanceArn]) -> None:
    """A person has instances changed."""
    order = parse({"targets": [str(each) for each in arns], "dry_run": False, "caller": "dora"})
    assert isinstance(order, JudgementOrder)
    requests = [each for each in order.targets if isinstance(each, Request)]
    world.function(run).line.run(requests, "manual")


def command(world: World, run: Process, **asked: Any) -> dict[str, Any]:
    """A person gives a command. Returns the answer."""
    given = parse({"dry_run": False, "caller": "dora", **asked})
    assert isinstance(given, Command)
    return build_people(world.function(run)).carry_out(given, "command", lambda: True)
