"""When calls come, in words: what a person needs to find the software that makes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.evidence.pattern import pattern_of
from imdsv2.domain.verdict import Reason
from tests.unit.builders import NOW, at
from tests.unit.evidence_builders import call, verdict_on
from tests.world.cloudwatch import HOUR, CloudWatch

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance

DAY = timedelta(days=1)
START = at("2026-11-02 09:40")


def number(when: datetime) -> int:
    """The hour of a time, as a whole number since 1970."""
    return int(when.timestamp()) // 3600


def pattern(*times: datetime) -> str:
    """The pattern of calls of an instance that was observed for 35 days and started on the second."""
    observed = range(number(NOW - 35 * DAY), number(NOW))
    return pattern_of([number(each) for each in times], observed, [START])


@pytest.mark.parametrize(
    ("expected", "times"),
    [
        ("", []),
        ("once", [at("2026-11-10 03:20")]),
        ("once", [at("2026-11-10 03:20"), at("2026-11-10 04:02")]),
        ("at starts", [at("2026-11-02 09:41")]),
        ("at starts", [at("2026-11-02 09:41"), at("2026-11-02 10:50")]),
        ("daily at 02:00", [at("2026-11-03 02:10") + days * DAY for days in range(15)]),
        ("daily at 02:00", [at("2026-11-03 02:10") + days * DAY for days in (0, 1, 3, 7)]),
        ("weekly on Thursdays at 22:00", [at("2026-10-22 22:00") + weeks * 7 * DAY for weeks in range(4)]),
        ("monthly on day 1 at 05:00", [at("2026-10-01 05:30"), at("2026-11-01 05:30")]),
        ("steady", [at("2026-11-05 00:00") + hours * HOUR for hours in range(72)]),
        ("steady", [at("2026-11-05 00:00") + hours * HOUR for hours in range(0, 300, 2)]),
        ("at no fixed time", [at("2026-11-05 01:00"), at("2026-11-06 13:00"), at("2026-11-12 18:00")]),
        ("at no fixed time", [at("2026-11-05 01:00"), at("2026-11-05 20:00")]),
    ],
)
def test_the_pattern_of_calls(expected: str, times: list[datetime]) -> None:
    """Each word, at its boundaries."""
    assert expected == pattern(*times)


def test_the_text_tells_calls_hours_days_and_pattern(cloudwatch: CloudWatch, steady: Instance) -> None:
    """A nightly job is known for one."""
    call(cloudwatch, steady, *(at("2026-11-04 02:15") + days * DAY for days in range(12)), calls=4)
    verdict = verdict_on(cloudwatch, steady)
    assert Reason.V1_IN_USE is verdict.reason
    assert verdict.explanation.startswith(
        "48 IMDSv1 calls in 12 hours on 12 days (daily at 02:00), the last on 2026-11-15 between 02:00 and 03:00 UTC. "
        "Without another call this hold ends by itself on 2026-12-20 03:00 UTC."
    )


@given(
    st.sets(st.integers(490_000, 500_000), max_size=40),
    st.sets(st.integers(490_000, 500_000), max_size=40),
    st.lists(st.integers(489_000, 500_000), max_size=3),
)
def test_every_set_of_hours_has_a_pattern(used: set[int], observed: set[int], starts: list[int]) -> None:
    """Whatever was observed, and whenever it was started."""
    times = [datetime.fromtimestamp(hour * 3600, NOW.tzinfo) for hour in starts]
    assert bool(used) is bool(pattern_of(used, observed | used, times))
