"""Owners who do what they were told about single machines, some days later.

One whose start nobody saw is stopped and started: the first remedy that the verdict `boot_not_observable` names. Where its own calls
hold a machine, its owner finds what makes them, updates it, starts the machine anew and says so (`mended`): what needed IMDSv1 needs it
no longer, and whoever else knocked may do so again. What holds a machine is known when it is judged; an owner, who has all machines of
a place's group, takes the same time for each of them. Times are seconds since 1970.
"""

from __future__ import annotations

import random
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import Reason
from tests.bench.simulation.agenda import Agenda
from tests.bench.simulation.assumptions import BOOT_CALL_AFTER, DAY, DOWN, HOUR, MINUTE
from tests.bench.simulation.machine import Software
from tests.bench.simulation.origins import APPLIED_AFTER_DAYS, APPLIED_SPREAD

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.bench.simulation.ledger import Standing
    from tests.bench.simulation.machine import Machine

_FOR_GOOD = 20 * HOUR
"""What is judged again sooner waits only for the end of a start that was seen."""


_SAID_AFTER = 10 * MINUTE
"""So long after the start, its owner says that the software was updated."""
_HELD_BY_CALLS = frozenset({Reason.V1_IN_USE, Reason.V1_RECURS, Reason.V1_AT_BOOT})


class Acts(StrEnum):
    """On what owners act, of what they are told of single machines."""

    NOTHING = "nothing"
    STARTS = "starts"
    ALL = "all"


class Owners:
    """All owners of a fleet, who act alike."""

    def __init__(self, *, acts: Acts, seed: int) -> None:
        self._acts, self._seed = acts, seed
        self._agenda, self._words = Agenda(), Agenda()
        self._told: dict[InstanceArn, Reason] = {}

    def hear(self, machine: Machine, standing: Standing, now: float) -> None:
        """A machine was judged."""
        if not self._will_act(machine, standing, now):
            self._told.pop(machine.arn, None)
        elif machine.arn not in self._told:
            self._told[machine.arn] = standing.reason
            self._agenda.put(machine.arn, now + self._days_to_act(machine) * DAY)

    def next(self) -> float:
        """When the next of them acts, or says something."""
        return min(self._agenda.next(), self._words.next())

    def take(self, now: float) -> list[InstanceArn]:
        """The machines that are started now, if they still wait for it."""
        return [arn for arn in self._agenda.take(now) if arn in self._told]

    def start(self, machine: Machine, now: float) -> Machine:
        """Start a machine of `take`, or wait for its next start if it is off. Of what is updated, its owner then says so."""
        held_by_calls = self._told.pop(machine.arn) in _HELD_BY_CALLS
        started = restarted(machine, int(now))
        start = started.next_start(now)
        if not held_by_calls or start is None:
            return started
        self._words.put(machine.arn, start + _SAID_AFTER)
        return updated(started, start)

    def say(self, now: float) -> list[InstanceArn]:
        """The machines of which owners say now that they were updated and started."""
        return self._words.take(now)

    def _will_act(self, machine: Machine, standing: Standing, now: float) -> bool:
        # A group replaces what is stopped.
        if self._acts is Acts.NOTHING or machine.version is not None:
            return False
        return waits_for_a_start(standing, now) or (self._acts is Acts.ALL and is_held_by_calls(standing))

    def _days_to_act(self, machine: Machine) -> float:
        chance = random.Random(f"{self._seed} {machine.group}")  # noqa: S311 - a simulation, not a secret
        return APPLIED_AFTER_DAYS * chance.lognormvariate(0, APPLIED_SPREAD)


def waits_for_a_start(standing: Standing, now: float) -> bool:
    """Whether an instance is held because its last start was not seen, and never will be."""
    if standing.reason is not Reason.BOOT_NOT_OBSERVABLE or standing.revisit_at is None:
        return False
    return standing.revisit_at - now > _FOR_GOOD


def is_held_by_calls(standing: Standing) -> bool:
    """Whether an instance is held because it called IMDSv1 itself."""
    return standing.status is Status.HELD and standing.reason in _HELD_BY_CALLS


def updated(machine: Machine, at: int) -> Machine:
    """A machine whose software needs IMDSv1 no longer from then on."""
    return replace(machine, calls=tuple(call for call in machine.calls if call < at))


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
