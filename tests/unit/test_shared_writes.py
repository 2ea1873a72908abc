"""Writes of threads that come at the same time share transactions."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING

import pytest

from imdsv2.ledger.change import Change
from imdsv2.ledger.record import Record
from imdsv2.ledger.shared_writes import SharedWrites
from imdsv2.ledger.transactions import Written
from tests.unit.builders import arn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 30
AT_ONCE = 2


def change(number: int) -> Change:
    """A change of one of many instances."""
    record = Record(arn=arn(number + 1))
    return Change(before=record, after=record)


@dataclass
class Slow:
    """A ledger that answers a write only when it may."""

    fails: Callable[[Sequence[Change]], Written] = lambda _: Written()
    may_answer: Event = field(default_factory=Event)
    asked: list[list[Change]] = field(default_factory=list)
    at_once: int = 0
    most: int = 0
    lock: Lock = field(default_factory=Lock)
    begun: Event = field(default_factory=Event)

    def write(self, changes: Sequence[Change]) -> Written:
        """As `Ledger.write`."""
        with self.lock:
            self.asked.append(list(changes))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            if len(self.asked) == AT_ONCE:
                self.begun.set()
        assert self.may_answer.wait(SECONDS)
        with self.lock:
            self.at_once -= 1
        return self.fails(changes)


def wait_until(seen: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    pause = Event()
    for _ in range(SECONDS * 100):
        if seen():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come to it")


def test_one_alone_is_written_at_once() -> None:
    """It waits for no other."""
    ledger = Slow()
    ledger.may_answer.set()
    assert Written() == SharedWrites(ledger.write).write(change(1))
    assert [[change(1)]] == ledger.asked


def test_what_is_written_leaves_memory() -> None:
    """At once, not when Python next looks for what refers to itself: a sweep writes thousands, each with two records."""
    writes, written = SharedWrites(lambda _: Written()), change(0)
    gc.disable()
    try:
        before = sys.getrefcount(written)
        writes.write(written)
        assert sys.getrefcount(written) == before
    finally:
        gc.enable()


def test_those_who_come_while_others_write_share_the_next_transaction() -> None:
    """Two are under way at most; whoever comes meanwhile is in one of the next, once."""
    ledger = Slow()
    writes = SharedWrites(ledger.write)
    with ThreadPoolExecutor(16) as pool:
        first = [pool.submit(writes.write, change(number)) for number in range(AT_ONCE)]
        assert ledger.begun.wait(SECONDS)
        others = [pool.submit(writes.write, change(number)) for number in range(AT_ONCE, 16)]
        wait_until(lambda: len(writes._waiting) == 16 - AT_ONCE)
        ledger.may_answer.set()
        assert [Written()] * 16 == [each.result(SECONDS) for each in (*first, *others)]
    assert [1, 1, 14] == sorted(map(len, ledger.asked))
    assert {change(number).arn for number in range(16)} == {each.arn for several in ledger.asked for each in several}
    assert AT_ONCE == ledger.most


def test_each_learns_what_became_of_its_own() -> None:
    """One is overtaken, one fails, the others are written; how many share a transaction makes no difference."""
    overtaken, failed = change(3).arn, change(5).arn
    error = ValueError("no")

    def fails(changes: Sequence[Change]) -> Written:
        arns = {each.arn for each in changes}
        return Written(frozenset({overtaken} & arns), {failed: error} if failed in arns else {})

    ledger = Slow(fails)
    ledger.may_answer.set()
    writes = SharedWrites(ledger.write)
    with ThreadPoolExecutor(16) as pool:
        became = list(pool.map(writes.write, map(change, range(200))))
    assert Written(frozenset({overtaken})) == became.pop(3)
    assert Written(failed={failed: error}) == became.pop(4)
    assert [Written()] * 198 == became
    assert 200 == sum(map(len, ledger.asked))


@pytest.mark.parametrize("failure", [ConnectionError("away"), SystemExit(1)], ids=["error", "end of the process"])
def test_an_error_is_raised_by_all_whom_it_concerns_and_by_nobody_else(failure: BaseException) -> None:
    """Nobody waits for ever, and what comes after it is written."""
    broken = [True]

    def fails(_: Sequence[Change]) -> Written:
        if broken[0]:
            raise failure
        return Written()

    ledger = Slow(fails)
    writes = SharedWrites(ledger.write)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(writes.write, change(number)) for number in range(8)]
        wait_until(lambda: len(writes._waiting) + sum(map(len, ledger.asked)) == 8)
        ledger.may_answer.set()
        for each in asked:
            with pytest.raises(type(failure)):
                each.result(SECONDS)
    broken[0] = False
    assert Written() == writes.write(change(9))
