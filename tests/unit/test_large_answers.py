"""Large answers of CloudWatch are read by three threads at once, whatever asks for them; small ones wait for nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Any

from imdsv2.aws.cloudwatch import DATAPOINTS_A_CALL, TOKENLESS_CALLS, read
from imdsv2.domain.evidence.hours import Hours
from imdsv2.domain.instance import InstanceArn

ARN = InstanceArn("aws", "eu-west-1", "111111111111", "i-0123456789abcdef0")
LARGE, SMALL = Hours(0, DATAPOINTS_A_CALL // 2), Hours(0, 24)
AT_ONCE = 3
PATIENCE_SECONDS = 10


class Slow:
    """A client that answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.let = Semaphore(0), Event()

    def get_metric_data(self, **_: Any) -> dict[str, Any]:
        self.asked.release()
        assert self.let.wait(PATIENCE_SECONDS)
        return {"MetricDataResults": [{"Id": "m0", "StatusCode": "Complete", "Timestamps": [], "Values": []}]}


def test_no_more_than_three_large_answers_are_read_at_once() -> None:
    """Each takes ten megabytes while it is parsed: batches that are judged together share three. All are read in the end."""
    slow, quick = Slow(), Slow()
    quick.let.set()

    def ask(client: Any, span: Hours) -> str | None:
        return read(client, TOKENLESS_CALLS, {ARN: span})[ARN].problem

    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        asked = [pool.submit(ask, slow, LARGE) for _ in range(AT_ONCE + 1)]
        try:
            for _ in range(AT_ONCE):
                assert slow.asked.acquire(timeout=PATIENCE_SECONDS)
            assert not slow.asked.acquire(timeout=0.2), "a fourth was asked for"
            assert ask(quick, SMALL) is None
        finally:
            slow.let.set()
        assert [each.result() for each in asked] == [None] * len(asked)
    assert slow.asked.acquire(timeout=PATIENCE_SECONDS), "the fourth was never asked for"
