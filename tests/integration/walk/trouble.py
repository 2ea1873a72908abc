"""How AWS fails on the walk, and what has to hold all the same: at each step, and two hours later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from imdsv2.domain.instance import ENFORCED_TAG, ROLLED_BACK_TAG
from tests.integration.walk.faults import FAULTS, LOSSES, Failing, Fault, Part
from tests.integration.walk.table import WalkTable
from tests.integration.walk.words import Words, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.walk.machine import Machine

_FOR_LONG = 40
"""More calls than a few runs make, with all that they try again."""
NO_LAG = timedelta()
lags = st.sampled_from([NO_LAG, timedelta(seconds=40), timedelta(minutes=2)])
"""For how long EC2 may show the state before a change."""
faults, losses, parts = st.sampled_from(FAULTS), st.sampled_from(LOSSES), st.sampled_from(Part)
Trouble = tuple[str, str] | tuple[Part, int]
"""A fault or a loss, or what fails of which instance."""
doubts = st.sampled_from([each for each in LOSSES if each[0] in {"tagged", "modified"}])
"""What leaves a change in doubt."""
troubles = st.none() | faults | losses | st.tuples(parts, numbers)


_UNDER_WAY = {"enforcing", "rolling_back"}


class Troubles(Words):
    """Crashes and refusals, looks that lag, answers that get lost, and calls of which a part fails."""

    revisit: Callable[[], None]
    """Re-evaluates due instances: the walk says how functions are run, trouble only comes between."""
    guard_passes: Callable[[], None]
    """The guard's next pass."""

    @rule(by=lags, index=st.booleans())
    def looks_lag(self, by: timedelta, *, index: bool) -> None:
        """EC2 shows the state before a change for a while, and the index of the enforced is seconds behind; or they no longer do."""
        self.world.lag = by
        if isinstance(table := self.world.dynamodb, WalkTable):
            table.is_behind = index

    @rule(fault=faults, countdown=st.integers(0, 3))
    def trouble_waits(self, fault: tuple[str, str], countdown: int) -> None:
        """A crash or a failure, at a point that the service will reach."""
        point, kind = fault
        self.world.fault = Fault(point=point, kind=kind, countdown=countdown)

    def meets(self, trouble: Trouble | None) -> None:
        """The next run meets a failure, or loses an answer, where it may do so first."""
        match trouble:
            case (Part() as part, int(number)):
                self.part_fails(number, part, _FOR_LONG)
            case (str(point), str(kind)) if trouble in LOSSES:
                self.answer_gets_lost((point, kind), 0)
            case (str(point), str(kind)):
                self.trouble_waits((point, kind), 0)

    @rule(loss=losses, countdown=st.integers(0, 2))
    def answer_gets_lost(self, loss: tuple[str, str], countdown: int) -> None:
        """The answer to something that AWS will have done."""
        point, kind = loss
        self.world.lost = Fault(point=point, kind=kind, countdown=countdown)

    @rule(number=numbers, part=parts, times=st.sampled_from([1, 3, _FOR_LONG]))
    def part_fails(self, number: int, part: Part, times: int) -> None:
        """Calls for several instances fail because of one, a few times or for long."""
        self.world.failing = Failing(arn=self.arns[number], part=part, times=times)

    @invariant()
    def what_we_changed_is_watched(self) -> None:
        """Whatever EC2 shows as changed by the service is under watch, or in doubt with a time at which that is settled."""
        wrong = [
            f"{arn.instance_id} {each}" for arn, machine in self.world.machines.items() for each in self._of(machine)
        ]
        assert [] == wrong

    def _of(self, machine: Machine) -> Iterator[str]:
        item, table = self.world.current(machine.arn), self.world.dynamodb
        if isinstance(table, WalkTable) and table.counted[machine.instance_id] > len(machine.broke):
            yield "was counted more often than it broke"
        if machine.state == "terminated":
            return
        if machine.ours == machine.options["HttpTokens"] == "required":
            yield from _of_changed(machine, item)
        is_open = machine.left is None or machine.ours == "optional"
        is_owed = item.get("status") in _UNDER_WAY or bool(item.get("owes"))
        if is_open and ENFORCED_TAG in machine.tags and not is_owed:
            yield "has our tag, is not changed, and nobody is to remove it"

    # --- After the faults ----------------------------------------------------------------------------------------

    def two_hours_pass(self) -> None:
        """AWS no longer fails: in two hours of schedules, or earlier, all that is owed is done."""
        self.world.mend()
        for _ in range(8):
            if not self.unsettled():
                return
            self.world.advance(timedelta(minutes=10))
            self.revisit()
            self.guard_passes()
            self.what_we_changed_is_watched()
        assert [] == self.unsettled()

    def unsettled(self) -> list[str]:
        """What is still to be done."""
        return [
            f"{arn.instance_id} {each}" for arn, machine in self.world.machines.items() for each in self._owed(machine)
        ]

    def _owed(self, machine: Machine) -> Iterator[str]:
        item, arn = self.world.current(machine.arn), machine.arn
        table = self.world.dynamodb
        if item.get("status") in _UNDER_WAY or item.get("owes"):
            yield f"is {item['status']} and owes {item.get('owes')}"
        if isinstance(table, WalkTable) and table.counted[arn.instance_id] < len(self.world.returned[arn]):
            yield "broke, and was not counted"
        if item.get("status") != "rolled_back" or "cleared_at" in item:
            return
        since = max(item.get("rolled_back_at", ""), item.get("undone_at", ""))
        if arn not in self.world.heard or self.world.heard[arn] < datetime.fromisoformat(since):
            yield "was put back, and nobody was told"
        if machine.state != "terminated" and (ROLLED_BACK_TAG not in machine.tags or ENFORCED_TAG in machine.tags):
            yield "was put back, and its tags do not say so"


def _of_changed(machine: Machine, item: dict[str, Any]) -> Iterator[str]:
    """What is wrong about the record of an instance that requires tokens by the service."""
    status = item.get("status")
    if status in _UNDER_WAY:
        if not {"lease_until", "revisit_at"} <= item.keys() and "returned_at" not in item:
            yield f"is {status}, and nobody looks at it again"
        return
    if status not in {"enforced", "verified"}:
        yield f"requires tokens by us, and its record says {status} ({item.get('reason')})"
        return
    has_ended = "verified_at" in item or "left_because" in item
    if "enforced_at" not in item or not (item["watch"] == "open" or has_ended):
        yield "requires tokens by us, and is not watched"
    if not item["confirmed"] and not machine.meddled:
        yield "requires tokens by us, and its record says that this is unconfirmed"
    if ENFORCED_TAG not in machine.tags and not machine.meddled:
        yield "requires tokens by us, and has no tag, so that it cannot be put back"
