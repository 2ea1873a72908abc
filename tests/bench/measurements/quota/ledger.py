"""The ledger, as far as draining needs it: leases, what is enforced, and what is due when."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DUE_AT_ONCE = 300


@dataclass(slots=True)
class Ledger:
    """Who enforces what until when, what is enforced, and what is due."""

    leases: dict[int, float] = field(default_factory=dict)
    enforced: set[int] = field(default_factory=set)
    due: list[tuple[float, int]] = field(default_factory=list)
    held: int = 0

    def claim(self, instances: Iterable[int], now: float, until: float) -> list[int]:
        """Take instances on, those aside that somebody else has."""
        mine = self.free(instances, now)
        for each in mine:
            self.leases[each] = until
            heapq.heappush(self.due, (until, each))
        return mine

    def free(self, instances: Iterable[int], now: float) -> list[int]:
        """Instances that nobody acts on, nor has."""
        return [each for each in instances if each not in self.enforced and self.leases.get(each, 0.0) <= now]

    def take_over(self, changed: Iterable[int], now: float) -> None:
        """What somebody has changed and not lived to record is enforced once his lease is over."""
        self.enforced |= {each for each in changed if self.leases.get(each, 0.0) <= now}

    def hold(self, instances: Iterable[int], until: float) -> None:
        """Let instances be judged again then; who acts on one has taken it on."""
        for each in instances:
            self.leases.pop(each, None)
            self.held += 1
            heapq.heappush(self.due, (until, each))

    def take_due(self, now: float) -> list[int]:
        """What is due, as much as is taken up at once."""
        taken: list[int] = []
        while self.due and self.due[0][0] <= now and len(taken) < DUE_AT_ONCE:
            _, instance = heapq.heappop(self.due)
            if instance not in self.enforced:
                taken.append(instance)
        return taken
