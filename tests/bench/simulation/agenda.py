"""When something has to be looked at again. Times are seconds since 1970."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.bench.simulation.assumptions import DAY

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn


@dataclass(slots=True)
class Agenda:
    """When what has to be looked at again; what is put down anew replaces what was."""

    _heap: list[tuple[float, InstanceArn]] = field(default_factory=list)
    _due: dict[InstanceArn, float] = field(default_factory=dict)

    def put(self, arn: InstanceArn, when: float | None) -> None:
        if when is None:
            self._due.pop(arn, None)
        elif self._due.get(arn) != when:
            self._due[arn] = when
            heapq.heappush(self._heap, (when, arn))

    def next(self) -> float:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def take(self, now: float) -> list[InstanceArn]:
        """What is due."""
        taken = []
        while self.next() <= now:
            _, arn = heapq.heappop(self._heap)
            del self._due[arn]
            taken.append(arn)
        return taken


def day_by_day(first: float, bar: float) -> float:
    """The first of daily revisits that is not before a time."""
    return first + max(0, math.ceil((bar - first) / DAY)) * DAY


def up(when: float, grid: int) -> float:
    """The first time on a grid that is not before another."""
    return math.ceil(when / grid) * grid if when < math.inf else math.inf


def next_working_day(now: datetime, hour: int) -> float:
    """An hour (UTC) of the next working day."""
    day = now.astimezone(UTC).replace(hour=hour, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return day.timestamp()
