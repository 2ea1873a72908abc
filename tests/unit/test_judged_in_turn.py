"""Batches of one account and Region are judged one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock
from typing import TYPE_CHECKING, Any, cast

import pytest

from imdsv2.domain.request import Request, Source
from imdsv2.line.judge import Judge
from imdsv2.line.judgement import Case
from tests.unit.builders import arn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Judgement

SECONDS = 30


class Watched(Judge):
    """A judge who judges nothing; ``meets`` is called while it would."""

    meets: Callable[[], object]

    def _judge(self, cases: Sequence[Case], *_: Any, **__: Any) -> list[Judgement]:
        type(self).meets()
        return []


def judge(meets: Callable[[], object]) -> Judge:
    """One with what it needs for that."""
    kind = type("Meeting", (Watched,), {"meets": staticmethod(meets)})
    nobody: Any = None
    return cast("Judge", kind(clients=nobody, ledger=nobody, policies=nobody, siblings=nobody, now=nobody))


def case_of(instance: InstanceArn) -> list[Case]:
    """A batch of one."""
    return [Case(arn=instance, requests=(Request(arn=instance, source=Source.SWEEP),))]


def test_batches_of_a_place_take_turns() -> None:
    """The first can be changed while the next is judged."""
    lock, at_once, counted = Lock(), [0], []

    def meets() -> None:
        with lock:
            at_once[0] += 1
            counted.append(at_once[0])
        pause.wait(0.01)
        with lock:
            at_once[0] -= 1

    pause = Event()
    judging = judge(meets)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: judging.judge(case_of(arn(number + 1)), {}), range(16)))
    assert [1] * 16 == counted


@pytest.mark.parametrize("other", [{"account": "444444444444"}, {"region": "us-east-1"}], ids=["account", "Region"])
def test_places_do_not_wait_for_each_other(other: dict[str, str]) -> None:
    """A slow account delays only itself."""
    both = Barrier(2, timeout=SECONDS)
    judging = judge(both.wait)
    with ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(judging.judge, case_of(each), {}) for each in (arn(1), arn(1, **other))]
        assert [[], []] == [each.result(SECONDS) for each in ended]


def test_whose_batch_fails_gives_its_turn_up() -> None:
    """The next is judged."""
    fails = [True]

    def meets() -> None:
        if fails.pop():
            fails.append(False)
            raise ValueError("no")

    judging = judge(meets)
    with pytest.raises(ValueError, match="no"):
        judging.judge(case_of(arn(1)), {})
    assert [] == judging.judge(case_of(arn(2)), {})
