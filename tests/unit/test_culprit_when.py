"""When the calls come, which says where to look, and what of the cohort calls alike."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imdsv2.culprit.when import Timing, sharing_of, timing_of, where_to_look
from imdsv2.domain.evidence.hours import HOUR, at

FIRST = 500_000 // 24 * 24
"""An hour that begins a day."""
DAYS = 12
OBSERVED = range(FIRST, FIRST + DAYS * 24)


def timing(*used: int, starts: tuple[datetime, ...] = ()) -> Timing:
    """An instance that was observed for twelve days and called in these hours, counted from their beginning."""
    calls = dict.fromkeys(OBSERVED, 0.0) | {FIRST + hour: 2.0 for hour in used}
    return timing_of(calls, starts)


DAILY = tuple(day * 24 + 3 for day in range(DAYS))


@pytest.mark.parametrize(
    ("used", "starts", "pattern", "says"),
    [
        ((), (), "", ""),
        ((40,), (), "once", "installer"),
        ((40,), (at(FIRST + 40),), "at starts", "user data"),
        (DAILY, (), "daily at 03:00", "timetable"),
        (tuple(range(200)), (), "steady", "always runs"),
        ((5, 60, 131, 200), (), "at no fixed time", "trigger"),
    ],
)
def test_the_pattern_says_where_to_look(
    used: tuple[int, ...], starts: tuple[datetime, ...], pattern: str, says: str
) -> None:
    """One sentence for each, none without calls."""
    found = timing(*used, starts=starts)
    assert (pattern, 2 * len(used)) == (found.pattern, found.calls)
    assert says in where_to_look(found.pattern)
    assert bool(used) == where_to_look(found.pattern).startswith("It calls ")


def test_the_last_call_is_the_newest_hour_with_calls() -> None:
    """Hours without calls are none."""
    assert datetime.fromtimestamp((FIRST + 60) * HOUR, UTC) == timing(5, 60).last
    assert Timing() == timing()


@pytest.mark.parametrize(
    ("one", "others", "counts", "says"),
    [
        (DAILY, [], (1, 1, 1), "No other instance"),
        (DAILY, [(), ()], (3, 1, 1), "only this instance runs"),
        (DAILY, [DAILY, DAILY, ()], (4, 3, 3), "2 called in the same way"),
        (DAILY, [(40,), (41,)], (3, 3, 1), "at other times"),
        ((40,), [(40,), (90,)], (3, 3, 2), "1 called in the same way"),
        ((5, 60, 131, 200), [(5, 60, 132, 201), (8, 70, 140, 220)], (3, 3, 2), "1 called in the same way"),
        ((), [DAILY], (2, 1, 0), ""),
    ],
)
def test_what_the_cohort_shares(
    one: tuple[int, ...], others: list[tuple[int, ...]], counts: tuple[int, int, int], says: str
) -> None:
    """A timetable is the same whatever the hours; single calls have to come in the same hours."""
    found = sharing_of(timing(*one), [timing(*each) for each in others])
    assert counts == (found.looked_at, found.calling, found.alike)
    assert says in found.says


def test_instances_that_call_at_starts_are_alike_whenever_they_started() -> None:
    """Boot software is the same, the hours are not."""
    one = timing(40, starts=(at(FIRST + 40),))
    other = timing(90, starts=(at(FIRST + 90),))
    assert 2 == sharing_of(one, [other]).alike
