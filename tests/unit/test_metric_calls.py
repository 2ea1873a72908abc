"""How many questions are asked of CloudWatch at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError, Lock
from typing import Any

import pytest

from imdsv2.aws.cloudwatch import TOKENLESS_CALLS, read
from imdsv2.domain.evidence.hours import Hours
from imdsv2.domain.instance import InstanceArn, Place

PLACE = Place("aws", "eu-west-1", "111122223333")
MONTH = Hours(480_000, 480_840)
DAY = Hours(480_000, 480_024)


@dataclass
class Slow:
    """A CloudWatch that answers once so many are asked at the same time, or after a while; notes how many were."""

    together: int
    under_way: int = 0
    most: int = 0
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.barrier = Barrier(self.together)

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        with suppress(BrokenBarrierError):
            self.barrier.wait(0.2)
        with self.lock:
            self.under_way -= 1
        results = [
            {"Id": each["Id"], "StatusCode": "Complete", "Timestamps": [], "Values": []}
            for each in request["MetricDataQueries"]
        ]
        return {"MetricDataResults": results}


def fleet(number: int, first: int = 0) -> list[InstanceArn]:
    """Instances of one place."""
    return [PLACE.instance(f"i-{each:017x}") for each in range(first, first + number)]


@pytest.mark.parametrize(("span", "together", "most"), [(MONTH, 3, 2), (DAY, 4, 4)], ids=["large", "small"])
def test_only_large_answers_wait_for_each_other(span: Hours, together: int, most: int) -> None:
    """Two of them at most are in memory, for all batches together; small ones are asked for as ever."""
    slow: Any = Slow(together=together)
    fleets = [fleet(500, 1000 * number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda arns: read(slow, TOKENLESS_CALLS, dict.fromkeys(arns, span)), fleets)]
    assert [500] * 4 == [len(each) for each in answers]
    assert not any(series.problem for each in answers for series in each.values())
    assert most == slow.most


def test_one_that_fails_lets_the_next_one_in() -> None:
    """Otherwise the second failure would be the last question."""

    class Broken:
        def get_metric_data(self, **_: Any) -> dict[str, Any]:
            raise ValueError("not a failure of a call")

    broken: Any = Broken()
    for _ in range(3):
        with pytest.raises(ValueError, match="not a failure"):
            read(broken, TOKENLESS_CALLS, dict.fromkeys(fleet(120), MONTH))
