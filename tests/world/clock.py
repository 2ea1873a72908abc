"""The tests' one clock: it stands still until it is moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock


@dataclass(slots=True)
class Clock:
    """A clock that stands still until it is moved, or read by the service with `tick`, on whatever thread."""

    time: datetime
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def __call__(self) -> datetime:
        return self.time

    @property
    def seconds(self) -> float:
        """The time in seconds since 1970."""
        return self.time.timestamp()

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self.time = datetime.fromtimestamp(seconds, UTC)

    def tick(self) -> datetime:
        """The service's clock: never twice the same, as no real one is, so that what the service writes has an order."""
        with self._lock:
            self.time += timedelta(microseconds=1)
            return self.time

    def move(self, **by: float) -> None:
        """Let time pass, in the units of `timedelta`."""
        with self._lock:
            self.time += timedelta(**by)
