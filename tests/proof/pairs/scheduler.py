"""Runs two invocations, of which one at a time gets on: each stops before every call that the other could notice.

As CHESS does, orders are enumerated by how often the one that runs has to stop for the other: most faults need one or two.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.proof.crashes.calls import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.world.clock import Clock

_UNNOTICED = ("GetMetricData", "ListMetrics", "GetParameter", "GetCalendarState", "GetFindings")
"""They read what neither function writes, except for notes, which are only compared."""
_HANGS_AFTER = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``first`` (0 or 1) makes ``turns[0]`` calls, then the other ``turns[1]``, and so on; then each its rest, in turn. ``pause``:
    minutes that pass at the first stop."""

    first: int
    turns: tuple[int, ...]
    pause: int = 0

    def __str__(self) -> str:
        return f"{self.first}:{','.join(map(str, self.turns))}:{self.pause}"

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """A schedule from its text."""
        first, turns, pause = text.split(":")
        return cls(first=int(first), turns=tuple(map(int, turns.split(","))), pause=int(pause))


class Stepped(Process):
    """An invocation that stops before each call that the other could notice, until it is its turn."""

    def __init__(self, act: Callable[[Process], Any]) -> None:
        super().__init__()
        self.problem: BaseException | None = None
        self.answer: Any = None
        """What it answers, if it is a person's command."""
        self.is_over = False
        self.stops = 0
        """How often it has stopped before a call."""
        self._may_go, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._live, args=(act,), daemon=True)
        self._has_begun = False

    def make(self, call: str, perform: Callable[[], Any]) -> Any:
        """Make a call when it may."""
        if not call.startswith(_UNNOTICED):
            self.stops += 1
            self._has_stopped.release()
            _wait(self._may_go)
        return super().make(call, perform)

    def begin(self) -> None:
        """Go to the first call, unless it has begun."""
        if not self._has_begun:
            self._has_begun = True
            self._thread.start()
            _wait(self._has_stopped)

    def step(self) -> None:
        """Make the call before which it has stopped, and go on to the next."""
        self.begin()
        if not self.is_over:
            self._may_go.release()
            _wait(self._has_stopped)

    def _live(self, act: Callable[[Process], Any]) -> None:
        try:
            self.answer = act(self)
        except BaseException as error:  # noqa: BLE001 - it is looked at by whoever runs it
            self.problem = error
        self.is_over = True
        self._has_stopped.release()


def play(acts: Sequence[Callable[[Process], Any]], schedule: Schedule, clock: Clock) -> list[Stepped]:
    """Run two invocations by a schedule, to the end of both."""
    both = [Stepped(act) for act in acts]
    running, paused = schedule.first, False
    for turn in schedule.turns:
        both[running].begin()
        for _ in range(turn):
            both[running].step()
        if not paused:
            clock.time += timedelta(minutes=schedule.pause)
            paused = True
        running = 1 - running
    for each in (running, 1 - running):
        both[each].begin()
        while not both[each].is_over:
            both[each].step()
    return both


def _wait(semaphore: threading.Semaphore) -> None:
    if not semaphore.acquire(timeout=_HANGS_AFTER):
        raise AssertionError("an invocation hangs")
