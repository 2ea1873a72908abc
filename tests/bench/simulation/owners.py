"""Owners who do what they were told about single machines: one whose start nobody saw is stopped and started, some days later.

That is the first remedy that the verdict `boot_not_observable` names. It is known of a machine when it is judged; an owner, who has
all machines of a place's group, takes the same time for each of them. Times are seconds since 1970.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.domain.verdict import Reason
from tests.bench.simulation.agenda import Agenda
from tests.bench.simulation.assumptions import BOOT_CALL_AFTER, DAY, DOWN, HOUR
from tests.bench.simulation.machine import Software
from tests.bench.simulation.origins import APPLIED_AFTER_DAYS, APPLIED_SPREAD

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.bench.simulation.ledger import Standing
    from tests.bench.simulation.machine import Machine

_FOR_GOOD = 20 * HOUR
"""What is judged again sooner waits only for the end of a start that was seen."""


class Owners:
    """All owners of a fleet. ``act``: whether they do what they were told of single machines."""

    def __init__(self, *, act: bool, seed: int) -> None:
        self._act, self._seed = act, seed
        self._agenda = Agenda()
        self._told: set[InstanceArn] = set()

    def hear(self, machine: Machine, standing: Standing, now: float) -> None:
        """A machine was judged. Its group replaces what is stopped, so that there is nothing to do where one keeps it."""
        if not self._act or machine.version is not None:
            return
        if not waits_for_a_start(standing, now):
            self._told.discard(machine.arn)
        elif machine.arn not in self._told:
            self._told.add(machine.arn)
            self._agenda.put(machine.arn, now + self._days_to_act(machine) * DAY)

    def next(self) -> float:
        """When the next of them acts."""
        return self._agenda.next()

    def take(self, now: float) -> list[InstanceArn]:
        """The machines that are started now, if they still wait for it."""
        due = self._agenda.take(now)
        acted = [arn for arn in due if arn in self._told]
        self._told.difference_update(due)
        return acted

    def _days_to_act(self, machine: Machine) -> float:
        chance = random.Random(f"{self._seed} {machine.group}")  # noqa: S311 - a simulation, not a secret
        return APPLIED_AFTER_DAYS * chance.lognormvariate(0, APPLIED_SPREAD)


def waits_for_a_start(standing: Standing, now: float) -> bool:
    """Whether an instance is held because its last start was not seen, and never will be."""
    if standing.reason is not Reason.BOOT_NOT_OBSERVABLE or standing.revisit_at is None:
        return False
    return standing.revisit_at - now > _FOR_GOOD


def restarted(machine: Machine, at: int) -> Machine:
    """A machine that is stopped then, and started a while later: software that calls at boot calls, and nothing does meanwhile."""
    if not machine.is_running(at):
        return machine
    up_again = at + DOWN
    begin, end = machine.run_at(at)
    runs = [run for run in machine.runs if run != (begin, end)]
    calls = [call for call in machine.calls if not at <= call < up_again]
    if machine.software is Software.BOOT:
        calls.append(up_again + sum(BOOT_CALL_AFTER) // 2)
    return replace(
        machine,
        runs=sorted([*runs, (begin, at), *([(up_again, end)] if up_again < end else [])]),
        calls=tuple(sorted(calls)),
        others=tuple(call for call in machine.others if not at <= call < up_again),
    )
