"""Simulated time, in which jobs run at the same time."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    Steps = Generator[float, None, None]
    """Work, as the seconds that pass between its steps."""


@dataclass(slots=True)
class Clock:
    """Time that passes only where somebody waits."""

    now: float = 0.0

    def side_by_side(self, jobs: Iterable[Steps], at_once: int) -> Steps:
        """Work on so many jobs at the same time; the next begins when one ends."""
        order = count()
        waiting = iter(jobs)
        running = [(self.now, next(order), job) for job in islice(waiting, at_once)]
        while running:
            at, _, job = heapq.heappop(running)
            if at > self.now:
                yield at - self.now
            for wait in job:
                heapq.heappush(running, (self.now + wait, next(order), job))
                break
            else:
                running.extend((self.now, next(order), each) for each in islice(waiting, 1))
                heapq.heapify(running)
