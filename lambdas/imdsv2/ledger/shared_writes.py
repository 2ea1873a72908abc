"""Writes that many threads want at the same time share transactions: a call of DynamoDB for each would take most of the time of a
change."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imdsv2.ledger.change import Change
    from imdsv2.ledger.transactions import Written

_AT_ONCE = 2
"""Transactions under way. More would each carry fewer changes, and take more calls and more time for all of them."""


@dataclass(slots=True, eq=False)
class _Wanted:
    """A thread's change, and what became of it: one of the other two, once it is known."""

    change: Change
    written: Written | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.written is not None or self.error is not None


class SharedWrites:
    """Writes changes, each of another instance. A thread that may begin writes its own change and those that have come meanwhile; nobody
    waits for more to come, and nobody longer than for its own. ``write``: as `Ledger.write`."""

    def __init__(self, write: Callable[[Sequence[Change]], Written]) -> None:
        self._write = write
        self._waiting: list[_Wanted] = []
        self._under_way = 0
        self._news = Condition()

    def write(self, change: Change) -> Written:
        """Write a change. Returns what became of it, and raises what the write raises."""
        mine = _Wanted(change)
        with self._news:
            self._waiting.append(mine)
            self._news.wait_for(lambda: mine.is_done or (mine in self._waiting and self._under_way < _AT_ONCE))
            several = [] if mine.is_done else self._taken()
        if several:
            self._write_all(several)
        if mine.written is None:
            raise mine.error or RuntimeError("a write that was shared has no result")
        return mine.written

    def _taken(self) -> list[_Wanted]:
        several, self._waiting = self._waiting, []
        self._under_way += 1
        return several

    def _write_all(self, several: Sequence[_Wanted]) -> None:
        written, failure = None, None
        try:
            written = self._write([each.change for each in several])
        except BaseException as error:  # noqa: BLE001 - every thread that waits raises it, and none may wait for ever
            failure = error
        with self._news:
            for each in several:
                each.written, each.error = written and written.of({each.change.arn}), failure
            self._under_way -= 1
            self._news.notify_all()
