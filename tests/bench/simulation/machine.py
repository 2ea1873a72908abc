"""An instance of the safety simulation: when it runs, and when its software calls IMDSv1.

Nothing in it depends on what is done to it, so every way of enforcing meets the same calls. Times are seconds since 1970.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from zlib import crc32

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
    """How many hidden breakers of each kind there are, as a share of the fleet, and how many are alone in their cohort. ``by_api``: of the machines
    that are only rebooted, the share whose reboots are requests to EC2, of which CloudTrail tells."""

    hidden: Mapping[Software, float] = field(default_factory=lambda: dict.fromkeys(HIDDEN, 0.005))
    alone: float = 0.5
    by_api: float = 0.0
    instances: int = INSTANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One instance: when it runs (from, to), when its software calls IMDSv1, and the hours of which the metric knows nothing.

    ``calls``: those whose refusal breaks its software. ``others``: those whose refusal nobody minds: probes by others, and stray
    calls of software that has a token as well. ``reboots``: boot software runs without a start that EC2 shows; ``by_api``: CloudTrail
    tells of them. ``ended``: when it
    is terminated. ``dark_hours``: hours that are missing from every metric. ``patience``: working hours until its owner, where
    it broke, puts it back by hand; None where nobody does. ``version``: of its group's launch template; None where nothing
    tells of one.
    """

    arn: InstanceArn
    group: str
    software: Software
    first_launched: int
    runs: Sequence[tuple[int, int]]
    calls: Sequence[int] = ()
    lost_hours: frozenset[int] = frozenset()
    kind: str = ""
    others: Sequence[int] = ()
    reboots: Sequence[int] = ()
    by_api: bool = False
    ended: float = math.inf
    dark_hours: frozenset[int] = frozenset()
    patience: float | None = None
    version: int | None = None

    @property
    def source_tags(self) -> dict[str, str]:
        """What AWS's own tags tell of what launched it: nothing where people did."""
        if self.version is None:
            return {}
        return {
            "aws:autoscaling:groupName": self.group,
            "aws:ec2launchtemplate:id": f"lt-{crc32(self.group.encode()):017x}",
            "aws:ec2launchtemplate:version": str(self.version),
        }

    @property
    def image_id(self) -> str:
        """The account's own AMI, of which all of its cohort are."""
        return f"ami-{crc32(self.group.encode()):017x}"

    def run_at(self, when: float) -> tuple[int, int]:
        """The run that goes on then, or the last one before."""
        return self.runs[max(0, bisect_right(self.runs, (when, math.inf)) - 1)]

    def is_running(self, when: float) -> bool:
        begin, end = self.run_at(when)
        return begin <= when < end

    def next_start(self, after: float) -> int | None:
        place = bisect_right(self.runs, (after, math.inf))
        return self.runs[place][0] if place < len(self.runs) else None

    def next_boot(self, after: float) -> float | None:
        """The next start or reboot, at which boot software runs."""
        place = bisect_right(self.reboots, after)
        boots = [self.next_start(after), self.reboots[place] if place < len(self.reboots) else None]
        return min((boot for boot in boots if boot is not None), default=None)

    def calls_between(self, begin: float, end: float) -> Sequence[int]:
        """The calls that its software needs, from a time on, up to another."""
        return _between(self.calls, begin, end)

    def asked_between(self, begin: float, end: float) -> Sequence[int]:
        """All calls without a token, whoever makes them, from a time on, up to another."""
        if not self.others:
            return _between(self.calls, begin, end)
        return sorted([*_between(self.calls, begin, end), *_between(self.others, begin, end)])


def _between(calls: Sequence[int], begin: float, end: float) -> Sequence[int]:
    return calls[bisect_left(calls, begin) : bisect_left(calls, end)]
