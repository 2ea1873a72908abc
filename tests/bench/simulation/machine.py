"""An instance of the safety simulation: when it runs, and when its software calls IMDSv1.

Nothing in it depends on what is done to it, so every way of enforcing meets the same calls. Times are seconds since 1970.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.bench.simulation.assumptions import INSTANCES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2.domain.instance import InstanceArn


class Software(StrEnum):
    """When an instance's software calls IMDSv1."""

    SAFE = "safe"
    OPEN = "open"
    MONTHLY = "monthly"
    BOOT = "boot"
    LOAD = "load"
    OFFICE = "office"


HIDDEN = (Software.MONTHLY, Software.BOOT, Software.LOAD, Software.OFFICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How many hidden breakers of each kind there are, as a share of the fleet, and how many are alone in their cohort."""

    hidden: Mapping[Software, float] = field(default_factory=lambda: dict.fromkeys(HIDDEN, 0.005))
    alone: float = 0.5
    instances: int = INSTANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One instance: when it runs (from, to), when its software calls IMDSv1, and the hours of which the metric knows nothing."""

    arn: InstanceArn
    group: str
    software: Software
    first_launched: int
    runs: Sequence[tuple[int, int]]
    calls: Sequence[int] = ()
    lost_hours: frozenset[int] = frozenset()

    def run_at(self, when: float) -> tuple[int, int]:
        """The run that goes on then, or the last one before."""
        return self.runs[max(0, bisect_right(self.runs, (when, math.inf)) - 1)]

    def is_running(self, when: float) -> bool:
        begin, end = self.run_at(when)
        return begin <= when < end

    def next_start(self, after: float) -> int | None:
        place = bisect_right(self.runs, (after, math.inf))
        return self.runs[place][0] if place < len(self.runs) else None

    def calls_between(self, begin: float, end: float) -> Sequence[int]:
        """Its calls from a time on, up to another."""
        return self.calls[bisect_left(self.calls, begin) : bisect_left(self.calls, end)]
