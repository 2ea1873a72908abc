"""Writes that many threads want at the same time share transactions: a call of DynamoDB for each would take most of the time of a
change."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imdsv2.ledger.change import Change
    from imdsv2.ledger.transactions import Written

_AT_ONCE = 2
"""Transactions under way. More would each carry fewer changes, and take more calls and more time for all of them."""


@dataclass(slots=True, eq=False)
class _Wanted:
    """A thread's change. The thread is called once: when it is its turn to write several, or when others have written its change and
    know what became of it, which is one of the last two."""

    change: Change
    called: Event = field(default_factory=Event)
    to_write: Sequence[_Wanted] = ()
    written: Written | None = None
    error: BaseException | None = None


class SharedWrites:
    """Writes changes, each of another instance. A thread that may begin writes its own change and those that have come meanwhile; nobody
    waits for more to come, and nobody longer than for its own. ``write``: as `Ledger.write`."""

    def __init__(self, write: Callable[[Sequence[Change]], Written]) -> None:
        self._write = write
        self._waiting: list[_Wanted] = []
        self._under_way = 0
        self._lock = Lock()

    def write(self, change: Change) -> Written:
        """Write a change. Returns what became of it, and raises what the write raises."""
        mine = _Wanted(change)
        with self._lock:
            self._waiting.append(mine)
            if self._under_way < _AT_ONCE:
                self._under_way += 1
                self._call_next()
        mine.called.wait()
        # Its own change is one of these: kept, it would refer to itself, and hold them all in memory until Python looks for such.
        to_write, mine.to_write = mine.to_write, ()
        if to_write:
            self._write_all(to_write)
        if mine.written is None:
            raise mine.error or RuntimeError("a write that was shared has no result")
        return mine.written

    def _call_next(self) -> None:
        """Have the first of those that wait write for all of them."""
        several, self._waiting = self._waiting, []
        several[0].to_write = several
        several[0].called.set()

    def _write_all(self, several: Sequence[_Wanted]) -> None:
        written, failure = None, None
        try:
            written = self._write([each.change for each in several])
        except BaseException as error:  # noqa: BLE001 - every thread that waits raises it, and none may wait for ever
            failure = error
        with self._lock:
            if self._waiting:
                self._call_next()
            else:
                self._under_way -= 1
        for each in several:
            each.written, each.error = written and written.of({each.change.arn}), failure
            each.called.set()
