"""Signs of rejected calls and of running instances, read through an in-memory CloudWatch."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.cloudwatch import QUERIES_A_CALL
from imdsv2.domain.evidence.hours import at as hour_at
from imdsv2.domain.health import Signs
from imdsv2.guard.signs import Begin, gather_signs, hours_of_use
from tests.unit.builders import NOW, arn, at
from tests.world.cloudwatch import CloudWatch, hour_of
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import InstanceArn

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PERIOD = timedelta(minutes=5)
REFUSED = "MetadataNoTokenRejected"
RAN = "CPUUtilization"

ONE = arn(1)
OTHER = arn(2)
SINCE = at("2026-11-19 10:12")
"""The start of the watch in these tests: in the middle of an hour, and of a period of five minutes."""


@pytest.fixture
def cloudwatch() -> CloudWatch:
    """A CloudWatch without datapoints."""
    return CloudWatch(lambda: NOW)


def signs(
    cloudwatch: CloudWatch,
    target: InstanceArn = ONE,
    *,
    since: datetime = SINCE,
    ripe: bool = True,
    now: datetime = NOW,
) -> Signs:
    """The signs of one instance."""
    return gather_signs(cloudwatch.client, {target: Begin(since, since)}, {target} if ripe else set(), now)[target]


def refuse(cloudwatch: CloudWatch, when: datetime, calls: float = 1, target: InstanceArn = ONE) -> None:
    """Rejected calls in the five minutes from that time."""
    cloudwatch.put(REFUSED, target.instance_id, when, calls)


def live(cloudwatch: CloudWatch, first: datetime, end: datetime, target: InstanceArn = ONE) -> None:
    """A datapoint of CPUUtilization for every five minutes in the range."""
    for number in range((end - first) // PERIOD):
        cloudwatch.put(RAN, target.instance_id, first + PERIOD * number, 3.5)


# --- Rejected calls ------------------------------------------------------------------------------------------------


def _begins(watches: Mapping[InstanceArn, datetime]) -> dict[InstanceArn, Begin]:
    return {each: Begin(since, since) for each, since in watches.items()}


def test_an_instance_that_nothing_was_refused_gives_no_sign(cloudwatch: CloudWatch) -> None:
    """CloudWatch publishes no datapoint if there are no calls: that is neither a problem nor a proof that the instance
    ran."""
    assert Signs() == signs(cloudwatch)


def test_refused_calls_are_added_up_and_the_last_is_told(cloudwatch: CloudWatch) -> None:
    """Zeros, if CloudWatch sends any, are no calls."""
    refuse(cloudwatch, at("2026-11-19 11:00"), 2)
    refuse(cloudwatch, at("2026-11-20 09:35"), 3)
    refuse(cloudwatch, at("2026-11-20 09:40"), 0)
    expected = Signs(refused={at("2026-11-19 11:00"): 2, at("2026-11-20 09:35"): 3})
    assert expected == signs(cloudwatch)


@pytest.mark.parametrize(
    ("period", "counted"),
    [
        ("2026-11-19 10:00", 0),
        ("2026-11-19 10:05", 0),
        ("2026-11-19 10:10", 1),
        ("2026-11-19 10:15", 1),
        ("2026-11-20 14:25", 1),
    ],
)
def test_periods_count_from_the_one_in_which_the_watch_began(cloudwatch: CloudWatch, period: str, counted: int) -> None:
    """Calls rejected earlier in the same hour belong to an earlier change."""
    refuse(cloudwatch, at(period))
    assert counted == signs(cloudwatch).rejected_calls


def test_a_watch_that_began_on_the_dot_counts_its_first_period(cloudwatch: CloudWatch) -> None:
    """The period that ended then is before it."""
    refuse(cloudwatch, SINCE.replace(minute=0))
    refuse(cloudwatch, SINCE.replace(minute=0) - PERIOD)
    assert 1 == signs(cloudwatch, since=SINCE.replace(minute=0)).rejected_calls


def test_the_five_minutes_under_way_count(cloudwatch: CloudWatch) -> None:
    """A call at this moment is not left to the next pass."""
    refuse(cloudwatch, NOW)
    assert 1 == signs(cloudwatch, now=NOW + timedelta(seconds=30)).rejected_calls


def test_a_part_of_a_call_is_a_call(cloudwatch: CloudWatch) -> None:
    """If CloudWatch ever averages, no value is rounded to zero."""
    refuse(cloudwatch, at("2026-11-20 09:35"), 0.2)
    assert 1 == signs(cloudwatch).rejected_calls


def test_a_watch_older_than_cloudwatch_remembers_is_asked_about_as_far_as_that(cloudwatch: CloudWatch) -> None:
    """CloudWatch would reject a longer range as a whole."""
    refuse(cloudwatch, NOW - 100 * DAY)
    refuse(cloudwatch, NOW - 61 * DAY)
    seen = signs(cloudwatch, since=NOW - 200 * DAY)
    assert (1, None) == (seen.rejected_calls, seen.problem)


# --- Running time --------------------------------------------------------------------------------------------------


def test_life_is_counted_in_whole_hours_of_the_watch(cloudwatch: CloudWatch) -> None:
    """The hour in which the watch began, and the current one, are partial."""
    live(cloudwatch, hour_of(SINCE), NOW)
    assert 27 == signs(cloudwatch).alive_hours


@pytest.mark.parametrize(
    ("until", "lately"), [("2026-11-20 13:00", False), ("2026-11-20 13:05", True), ("2026-11-20 14:00", True)]
)
def test_life_just_now_is_a_datapoint_of_the_last_whole_hour(
    cloudwatch: CloudWatch, until: str, *, lately: bool
) -> None:
    """The hour under way may have none yet."""
    live(cloudwatch, hour_of(SINCE), at(until))
    assert lately == signs(cloudwatch).alive_lately


def test_hours_without_a_datapoint_are_no_life(cloudwatch: CloudWatch) -> None:
    """One datapoint is enough for an hour."""
    live(cloudwatch, at("2026-11-19 11:55"), at("2026-11-19 13:05"))
    assert 3 == signs(cloudwatch).alive_hours


def test_life_is_asked_for_where_the_watch_might_end(cloudwatch: CloudWatch) -> None:
    """CPUUtilization is not queried every five minutes without need."""
    live(cloudwatch, hour_of(SINCE), NOW)
    assert 0 == signs(cloudwatch, ripe=False).alive_hours
    assert (1, 0) == (len(cloudwatch.calls_for(REFUSED)), len(cloudwatch.calls_for(RAN)))


def test_a_watch_without_a_whole_hour_asks_for_no_life(cloudwatch: CloudWatch) -> None:
    """CloudWatch rejects an empty range."""
    seen = signs(cloudwatch, since=NOW - timedelta(minutes=20))
    assert (0, None) == (seen.alive_hours, seen.problem)
    assert [] == cloudwatch.calls_for(RAN)


# --- Many instances, and incomplete answers ------------------------------------------------------------------------


def test_each_instance_has_its_own_watch(cloudwatch: CloudWatch) -> None:
    """In one query, each counts from its own start."""
    for target in (ONE, OTHER):
        refuse(cloudwatch, at("2026-11-20 09:35"), target=target)
        live(cloudwatch, at("2026-11-19 00:00"), NOW, target=target)
    watches = {ONE: SINCE, OTHER: at("2026-11-20 10:20")}
    seen = gather_signs(cloudwatch.client, _begins(watches), {ONE, OTHER}, NOW)
    assert {ONE: (1, 27), OTHER: (0, 3)} == {each: (it.rejected_calls, it.alive_hours) for each, it in seen.items()}


def test_calls_may_count_from_earlier_than_life(cloudwatch: CloudWatch) -> None:
    """After a start, the watch begins again."""
    refuse(cloudwatch, at("2026-11-20 09:35"))
    live(cloudwatch, at("2026-11-19 00:00"), NOW)
    begin = Begin(watch=at("2026-11-20 10:20"), count=SINCE)
    seen = gather_signs(cloudwatch.client, {ONE: begin}, {ONE}, NOW)[ONE]
    assert (1, 3) == (seen.rejected_calls, seen.alive_hours)


def test_many_are_read_in_pages_of_what_a_call_may_ask(cloudwatch: CloudWatch) -> None:
    """An hour has twelve datapoints of five minutes: the number of queries is the limit."""
    since = {arn(number): NOW - HOUR for number in range(QUERIES_A_CALL + 1)}
    gather_signs(cloudwatch.client, _begins(since), set(), NOW)
    assert [1, QUERIES_A_CALL] == sorted(len(call["MetricDataQueries"]) for call in cloudwatch.asked)


@pytest.mark.parametrize("metric", [REFUSED, RAN])
@pytest.mark.parametrize("status", ["PartialData", "Forbidden", "InternalError"])
def test_an_answer_that_is_not_complete_is_a_problem_of_that_instance_alone(
    cloudwatch: CloudWatch, metric: str, status: str
) -> None:
    """For either metric; the other instances' answers count."""
    cloudwatch.statuses[metric, ONE.instance_id] = status
    seen = gather_signs(cloudwatch.client, _begins({ONE: SINCE, OTHER: SINCE}), {ONE, OTHER}, NOW)
    assert {ONE: f"CloudWatch answered {status}", OTHER: None} == {each: it.problem for each, it in seen.items()}


@pytest.mark.parametrize("number", [0, 1])
def test_a_refused_call_is_a_problem_and_no_exception(cloudwatch: CloudWatch, number: int) -> None:
    """The first call reads rejected calls, the second CPUUtilization."""
    refuse(cloudwatch, at("2026-11-20 09:35"))
    cloudwatch.refusals[number] = refusal("AccessDenied", "refused", "GetMetricData")
    seen = signs(cloudwatch)
    assert "AccessDenied to GetMetricData: refused" == seen.problem
    assert number == seen.rejected_calls


def test_what_was_refused_counts_in_an_answer_that_is_not_complete(cloudwatch: CloudWatch) -> None:
    """It is a lower bound, and already breakage."""
    refuse(cloudwatch, at("2026-11-20 09:35"))
    cloudwatch.statuses[REFUSED, ONE.instance_id] = "PartialData"
    seen = signs(cloudwatch)
    assert (1, "CloudWatch answered PartialData") == (seen.rejected_calls, seen.problem)


# --- Use before ----------------------------------------------------------------------------------------------------


def test_the_hours_in_which_it_called_imdsv1_are_found(cloudwatch: CloudWatch) -> None:
    """Between two times, as far back as CloudWatch remembers; zeros are none."""
    for when, calls in (
        ("2025-12-01 02:20", 4),
        ("2026-11-02 02:10", 1),
        ("2026-11-03 02:10", 0),
        ("2026-11-19 16:00", 2),
    ):
        cloudwatch.put("MetadataNoToken", ONE.instance_id, at(when), calls)
    found = hours_of_use(cloudwatch.client, {ONE: (NOW - 455 * DAY, SINCE), OTHER: (NOW - 9 * DAY, SINCE)})
    assert [at("2025-12-01 02:00"), at("2026-11-02 02:00")] == sorted(hour_at(hour) for hour in found[ONE])
    assert [] == found[OTHER]
    assert 1 == len(cloudwatch.calls_for("MetadataNoToken"))


def test_use_that_cannot_be_read_is_left_out(cloudwatch: CloudWatch) -> None:
    """It could only be one more reason to call something breakage."""
    cloudwatch.refusals[0] = refusal("AccessDenied", "refused", "GetMetricData")
    assert {ONE: []} == hours_of_use(cloudwatch.client, {ONE: (NOW - 455 * DAY, SINCE)})


minutes = st.integers(0, 3 * 24 * 60)


@given(began=minutes, refused=st.dictionaries(minutes.map(lambda each: each // 5 * 5), st.integers(0, 3), max_size=12))
def test_every_refused_call_of_the_watch_is_counted_and_no_earlier_one(began: int, refused: dict[int, int]) -> None:
    """Whatever the minute in which the watch began, within its period of five minutes."""
    cloudwatch = CloudWatch(lambda: NOW)
    origin = hour_of(NOW) - 3 * DAY
    for minute, calls in refused.items():
        refuse(cloudwatch, origin + timedelta(minutes=minute), calls)
    since = origin + timedelta(minutes=began)
    inside = {minute: calls for minute, calls in refused.items() if calls and minute > began - 5}
    seen = signs(cloudwatch, since=since, now=origin + 3 * DAY + HOUR)
    assert sum(inside.values()) == seen.rejected_calls
    last = origin + timedelta(minutes=max(inside)) if inside else None
    assert last == seen.last_rejected_call
