"""What the hours of members that have ended are worth as time goes by: never more than were observed in the window."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.evidence.pool import Member, Pool, pool_of
from imdsv2.domain.policy import Policy
from tests.unit.builders import NOW, arn

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = Policy(lookback_days=35)
WINDOW = timedelta(days=35)
KEY = "aws/222222222222/eu-west-1/group:web@lt-1+1"


def pool_at(member: Member, later: timedelta) -> Pool:
    """The cohort of one that has ended, so long after it was looked at."""
    now = NOW + later
    return pool_of(KEY, [member], since=now - WINDOW, now=now)


def ended(*, launched: timedelta, hours: int, ago: timedelta = HOUR) -> Member:
    """A member that was launched and ended so long ago, observed in so many hours, when it was looked at."""
    return Member(arn=arn(14), launched_at=NOW - launched, ended_at=NOW - ago, looked_at=NOW, hours=hours, started=True)


def test_hours_at_the_beginning_of_a_life_leave_the_window_first() -> None:
    """It ran for a week, was stopped for three, and has ended: these 168 hours prove a cohort for as long as they are in the window."""
    member = ended(launched=34 * DAY, hours=168)
    assert 168 == pool_at(member, timedelta()).hours
    assert 168 == pool_at(member, DAY - HOUR).hours
    assert 120 == pool_at(member, 3 * DAY).hours
    assert 0 == pool_at(member, 9 * DAY).hours


def test_what_ran_all_the_time_counts_to_the_hour() -> None:
    """Of it, the hours that are left are known."""
    member = ended(launched=20 * DAY, hours=20 * 24 - 1)
    for days in (0, 14, 15, 16, 25, 34):
        left = min(20 * 24 - 1, (35 - days) * 24 - 1)
        assert left == pool_at(member, days * DAY).hours


@pytest.mark.parametrize("launched", [None, 300 * DAY])
def test_what_was_launched_before_the_window_loses_hours_from_the_first_day_on(launched: timedelta | None) -> None:
    """So does what nobody knows the launch of."""
    member = Member(
        arn=arn(14),
        launched_at=None if launched is None else NOW - launched,
        ended_at=NOW - 4 * HOUR,
        looked_at=NOW,
        hours=200,
    )
    assert [200, 176, 8, 0] == [pool_at(member, days * DAY).hours for days in (0, 1, 8, 9)]


@given(
    seen=st.sets(st.integers(0, 60 * 24 - 1), max_size=400),
    launched=st.integers(0, 60 * 24),
    later=st.integers(0, 50 * 24),
)
def test_never_more_hours_count_than_were_observed_in_the_window(seen: set[int], launched: int, later: int) -> None:
    """Whenever in its life it was observed; and the more time goes by, the fewer. ``seen``: so many hours before it ended."""
    end = NOW - 3 * HOUR
    lived = {each for each in seen if each < launched}
    first = NOW - WINDOW
    counted = sum(end - (each + 1) * HOUR >= first for each in lived)
    member = Member(arn=arn(14), launched_at=end - launched * HOUR, ended_at=end, looked_at=NOW, hours=counted)
    times = [timedelta(), later * HOUR // 2, later * HOUR]
    worth = [pool_at(member, each).hours for each in times]
    for each, hours in zip(times, worth, strict=True):
        since = NOW + each - WINDOW
        assert hours <= sum(end - (one + 1) * HOUR >= since for one in lived)
    assert all(before >= after for before, after in pairwise(worth))


def test_a_cohort_is_not_proved_by_hours_that_lie_before_the_window() -> None:
    """168 hours and three starts are wanted."""
    members = [
        Member(
            arn=arn(number),
            launched_at=NOW - 33 * DAY,
            ended_at=NOW - DAY,
            looked_at=NOW - DAY + 4 * HOUR,
            hours=60,
            started=True,
        )
        for number in range(3)
    ]
    for days, proved in ((0, True), (6, False)):
        now = NOW + days * DAY
        assert proved is pool_of(KEY, members, since=now - WINDOW, now=now).is_proved(POLICY)
