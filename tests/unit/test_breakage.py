"""When refused calls are breakage: a pattern in time, never a single knock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.breakage import of_a_cohort, pattern, returning
from imdsv2.domain.policy import Policy
from tests.unit.builders import NOW, arn, at

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
PERIOD = timedelta(minutes=5)
BEGUN = at("2026-11-02 08:00")


def found(*times: str | datetime, calls: int = 1, watched: bool = False, **how: Any) -> str | None:
    """What makes calls that were rejected at these times breakage, under the default policy."""
    refused = {at(when) if isinstance(when, str) else when: calls for when in times}
    asked: dict[str, Any] = {"starts": [], "watched_from": BEGUN if watched else None, "threshold": 1, "periods": 2}
    return pattern(refused, **asked | how)


def returns(*times: str, used: list[str], threshold: int = 1) -> str | None:
    """What makes calls that were rejected at these times breakage by the hours of use before."""
    hours = [int(at(when).timestamp()) // 3600 for when in used]
    return returning({at(when): 1 for when in times}, hours, threshold)


# --- Periods -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [1, 9, 5_000])
@pytest.mark.parametrize("watched", [True, False])
def test_one_period_is_no_pattern(calls: int, *, watched: bool) -> None:
    """However many calls: whoever can forge one can forge more."""
    assert None is found("2026-11-03 10:00", calls=calls, watched=watched)


def test_no_call_is_no_pattern() -> None:
    """Whatever the policy says."""
    assert None is found(watched=True, periods=1)


@pytest.mark.parametrize("second", ["2026-11-03 10:05", "2026-11-04 09:55", "2026-11-17 22:00"])
def test_two_periods_of_a_watch_are_one(second: str) -> None:
    """However far apart: a watch has an end."""
    assert "in 2 separate periods of five minutes" == found("2026-11-03 10:00", second, watched=True)


@pytest.mark.parametrize(
    ("second", "is_one"),
    [("2026-11-03 10:05", True), ("2026-11-03 12:00", True), ("2026-11-03 12:05", False), ("2026-11-09 10:00", False)],
)
def test_after_the_watch_they_have_to_lie_within_two_hours(second: str, *, is_one: bool) -> None:
    """A probe now and one days later are no pattern."""
    assert is_one == (found("2026-11-03 10:00", second) is not None)


def test_what_was_refused_before_the_watch_counts_by_the_other_rule() -> None:
    """A watch that began anew with a start: one period in it, one from a day before."""
    assert None is found("2026-11-01 10:00", "2026-11-03 10:00", watched=True)


@pytest.mark.parametrize(("periods", "number"), [(1, 1), (3, 3), (12, 12)])
def test_the_policy_says_how_many_periods(periods: int, number: int) -> None:
    """One fewer is none."""
    times = [at("2026-11-03 10:00") + PERIOD * index for index in range(number)]
    assert None is not found(*times, periods=periods)
    assert None is found(*times[:-1], periods=periods)


@pytest.mark.parametrize(("calls", "is_one"), [(2, False), (3, True)])
def test_fewer_calls_than_the_threshold_are_never_breakage(calls: int, *, is_one: bool) -> None:
    """Neither in two periods nor right after a start."""
    times = ("2026-11-03 10:00", "2026-11-03 10:05")
    assert is_one == (found(*times, calls=calls, threshold=6) is not None)
    assert is_one == (found(*times, calls=calls, threshold=6, starts=[at("2026-11-03 09:58")]) is not None)


# --- Starts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "is_one"),
    [
        ("2026-11-03 09:50", False),
        ("2026-11-03 09:55", True),
        ("2026-11-03 10:00", True),
        ("2026-11-03 11:00", True),
        ("2026-11-03 11:05", False),
    ],
)
def test_one_call_within_the_hour_after_a_start_is_enough(period: str, *, is_one: bool) -> None:
    """Its datapoint may begin five minutes before the call, and lie in the period before."""
    assert is_one == (found(period, starts=[at("2026-11-03 10:02")]) is not None)


def test_any_start_counts_and_is_named() -> None:
    """Also a reboot that a person told of."""
    words = found("2026-11-03 10:10", starts=[at("2026-10-01 00:00"), at("2026-11-03 10:02")])
    assert "within the hour after its start on 2026-11-03 10:02 UTC" == words


# --- The same time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "is_one"),
    [
        (["2026-11-03 02:10", "2026-11-04 02:25", "2026-11-06 01:55"], True),
        (["2026-11-03 02:10", "2026-11-04 02:30", "2026-11-06 02:10"], False),
        (["2026-11-03 02:10", "2026-11-04 02:10"], False),
        (["2026-11-03 23:55", "2026-11-05 00:05", "2026-11-06 00:00"], True),
        (["2026-11-03 23:55", "2026-11-05 00:05", "2026-11-05 12:00"], False),
    ],
)
def test_the_same_time_on_three_days_is_a_timetable(times: list[str], *, is_one: bool) -> None:
    """A quarter of an hour more or less, also around midnight."""
    assert is_one == (found(*times) is not None)


# --- Use before ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ("2026-11-23 02:30", "at the hour of the week at which it called IMDSv1 before"),
        ("2026-11-24 02:30", None),
        ("2026-11-23 04:30", None),
        ("2026-11-23 01:55", "at the hour of the week at which it called IMDSv1 before"),
    ],
)
def test_the_hour_of_a_weekly_job(refused: str, words: str | None) -> None:
    """It ran on Mondays at two; datapoints may begin minutes before."""
    assert words == returns(refused, used=["2026-08-03 02:00", "2026-08-10 02:00"])


@pytest.mark.parametrize(("refused", "is_one"), [("2027-01-15 06:40", True), ("2027-01-17 06:40", False)])
def test_the_hour_of_a_monthly_job(refused: str, *, is_one: bool) -> None:
    """On the fifteenth, whatever day of the week that is."""
    used = ["2026-05-15 06:00", "2026-06-15 06:00", "2026-08-15 06:00"]
    assert is_one == (returns(refused, used=used) is not None)


def test_a_single_call_of_long_ago_makes_no_timetable() -> None:
    """A probe may come at its hour by chance."""
    assert None is returns("2026-11-23 02:30", used=["2026-08-03 02:00", "2026-08-11 02:00"])


def test_use_at_all_hours_is_no_time_of_its_own() -> None:
    """An instance that called IMDSv1 all day long, until its software was updated, would be opened by any probe."""
    start = at("2026-04-01 00:00")
    used = [int((start + HOUR * number).timestamp()) // 3600 for number in range(24 * 60)]
    assert None is returning({at("2026-11-23 02:30"): 1}, used, 1)


def test_a_single_job_of_all_nights_is_found() -> None:
    """It has an hour of its own on every day."""
    used = [int((at("2026-04-01 03:00") + DAY * number).timestamp()) // 3600 for number in range(60)]
    assert None is not returning({at("2026-11-24 03:30"): 1}, used, 1)
    assert None is returning({at("2026-11-24 09:30"): 1}, used, 1)


def test_without_use_before_nothing_returns() -> None:
    """Nor below the threshold."""
    assert None is returns("2026-11-23 02:30", used=[])
    assert None is returns("2026-11-23 02:30", used=["2026-08-03 02:00"], threshold=2)


# --- Property tests ------------------------------------------------------------------------------------------------

times = st.integers(0, 20 * 288).map(lambda number: NOW - PERIOD * number)
calls = st.dictionaries(times, st.integers(1, 3), max_size=8)
rules = st.fixed_dictionaries(
    {
        "starts": st.lists(times, max_size=2),
        "watched_from": st.none() | times,
        "threshold": st.integers(1, 4),
        "periods": st.integers(1, 4),
    }
)


@given(refused=calls, more=calls, rule=rules)
def test_a_refused_call_more_never_makes_breakage_less(
    refused: dict[datetime, int], more: dict[datetime, int], rule: dict[str, Any]
) -> None:
    """Whatever it adds to."""
    if pattern(refused, **rule) is not None:
        assert None is not pattern({**more, **refused}, **rule)


@given(when=times, number=st.integers(1, 10_000), since=times, watched=st.booleans())
def test_a_single_period_away_from_a_start_opens_nothing(
    when: datetime, number: int, since: datetime, *, watched: bool
) -> None:
    """Under the default policy."""
    assert None is pattern({when: number}, starts=[], watched_from=since if watched else None, threshold=1, periods=2)


@given(refused=calls, rule=rules, begun=times)
def test_a_watch_never_makes_breakage_less(refused: dict[datetime, int], rule: dict[str, Any], begun: datetime) -> None:
    """It only lets more count together."""
    if pattern(refused, **rule | {"watched_from": None}) is not None:
        assert None is not pattern(refused, **rule | {"watched_from": begun})


# --- Cohorts, and months -------------------------------------------------------------------------------------------


def at_once(*times: str, standing: int, **policy: Any) -> str | None:
    """What makes it breakage that instances of one cohort had a call rejected, each at its time."""
    refused = {arn(number): {at(when): 1} for number, when in enumerate(times)}
    return of_a_cohort(refused, standing=standing, policy=Policy(**policy))


def test_what_fails_on_a_whole_cohort_at_the_same_moment_is_its_software() -> None:
    """A timed job that calls once: no instance alone would show a pattern."""
    found = at_once(*["2026-11-03 10:00"] * 6, standing=6)
    assert "on 6 instances that run the same software at the same moment, on 2026-11-03 10:00 UTC" == found


@pytest.mark.parametrize(
    ("times", "standing"),
    [
        (["2026-11-03 10:00"] * 3, 3),  # two requests to a farm behind one address reach two of its instances
        (["2026-11-03 10:00"] * 8, 9),
        (["2026-11-03 10:00"] * 5 + ["2026-11-03 10:05"] * 5, 10),  # a scanner that walks
    ],
)
def test_what_reaches_some_of_a_cohort_is_no_pattern(times: list[str], standing: int) -> None:
    """Few instances, not nearly all of them, or one after the other."""
    assert at_once(*times, standing=standing) is None


def test_the_metric_of_one_in_ten_may_have_a_gap() -> None:
    """It had its call as well."""
    assert at_once(*["2026-11-03 10:00"] * 9, standing=10) is not None


def test_the_policy_says_how_many_it_takes_of_a_cohort_too() -> None:
    """As many instances as periods on one alone, and as many calls."""
    assert at_once(*["2026-11-03 10:00"] * 6, standing=6, rejected_periods=7) is None
    assert at_once(*["2026-11-03 10:00"] * 6, standing=6, rejected_threshold=2) is None


@pytest.mark.parametrize(
    ("when", "is_one"),
    [
        ("2026-11-03 10:00", True),
        ("2026-11-03 10:10", True),
        ("2026-11-03 10:15", False),
        ("2026-11-04 10:00", False),
        ("2026-12-03 10:00", False),
    ],
)
def test_what_comes_again_a_month_later_is_a_job(when: str, *, is_one: bool) -> None:
    """On the same day of the month, at the same time; the call before was told as a probe."""
    said = found(when, told=at("2026-10-03 10:00"))
    assert is_one == (said is not None)
