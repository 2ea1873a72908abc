"""How the walk runs the service: each time in a new function instance, whose results the walk notes."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from hypothesis.stateful import RuleBasedStateMachine

from imdsv2.errors import InvalidRequest
from tests.integration.walk.faults import Crash
from tests.integration.walk.table import WalkTable
from tests.integration.walk.watched import AWS_FAILURES
from tests.integration.walk.world import Run, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Request
    from imdsv2.line.judgement import Outcomes
    from imdsv2.wiring.service import Service
    from tests.integration.walk.machine import Machine


class Running(RuleBasedStateMachine):
    """A walk without rules: the world, its instances by number, and runs of the service."""

    arns: list[InstanceArn]

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.world = World(self.dynamodb(), self.wrong)

    def dynamodb(self) -> Any:
        """The ledger's table, a new one for each walk."""
        return WalkTable(lambda: self.world).client

    def machine(self, number: int) -> Machine:
        """An instance by its number."""
        return self.world.machines[self.arns[number]]

    def judge(self, requests: list[Request], how: Run | None = None) -> Outcomes | None:
        """Run the pipeline; None if it did not complete."""
        outcomes: Outcomes | None = self.do(lambda function: function.line.run(requests, "line"), how)
        return outcomes

    def do(self, act: Callable[[Service], Any], how: Run | None = None) -> Any:
        """Run a function once; None if it died, or AWS failed."""
        world, how = self.world, how or Run()
        before = {arn: world.current(arn) for arn in world.machines}
        world.run, world.faulted = how, False
        world.changed.clear()
        world.clock.tick()
        try:
            return act(world.function())
        except (Crash, InvalidRequest):  # Also a command about what the ledger does not know.
            return None
        except AWS_FAILURES:
            assert world.faulted
            return None
        finally:
            world.run = Run()
            for arn, machine in world.machines.items():
                self.note(machine, how, before[arn])

    def note(self, machine: Machine, how: Run, before: Mapping[str, Any]) -> None:
        """Record the results of a run that people may rely on. What people say is written only when they say it, also where
        the run died before it could answer."""
        item = self.world.current(machine.arn)
        if "broken_at" in item:
            machine.broke.add(item["enforced_at"])
        if item.get("cleared_at") != before.get("cleared_at"):
            assert machine.arn in how.clears
            machine.held = False
            # A clearance ends no enforcement; it settles that somebody has opened the instance.
            machine.standing = machine.standing and machine.options["HttpTokens"] == "required"
        if item.get("mended_at") != before.get("mended_at"):
            assert how.mended[machine.arn] == datetime.fromisoformat(item["mended_at"])
            machine.mended.append(how.mended[machine.arn])
        if item.get("acceptance") != before.get("acceptance"):
            assert "acceptance" not in item or machine.arn in how.accepts
            machine.accepted_until = date.fromisoformat(item["acceptance"]["until"]) if "acceptance" in item else None
        assert (machine.accepted_until is not None) == ("acceptance" in item)  # One attempt uses it up.
        if machine.arn in self.world.changed and item["status"] == "enforced" and item["confirmed"]:
            machine.standing = True

    def everything(self) -> tuple[list[Any], list[Any]]:
        """Every possible change."""
        items = [(self.world.current(arn), self.world.history(arn)) for arn in self.world.machines]
        return items, [(dict(each.options), dict(each.tags)) for each in self.world.machines.values()]
