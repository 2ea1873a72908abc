"""The watch: when an instance counts as clean, as broken, or as unproved."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.health import Health, Signs, alive_hours_needed, judge
from tests.unit.builders import NOW

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LATE = timedelta(minutes=15)
MOMENT = timedelta(microseconds=1)

SINCE = NOW - 2 * DAY
"""The start of the watch in these tests."""


def health(signs: Signs, **how: Any) -> Health:
    """The health of an instance that runs and is watched for a day, beginning two days ago."""
    defaults: dict[str, Any] = {
        "since": SINCE,
        "hours": 24,
        "running_since": SINCE - 90 * DAY,
        "broken": False,
        "min_coverage": 0.9,
        "now": NOW,
    }
    return judge(signs, **(defaults | how))


ALIVE = Signs(alive_hours=47, alive_lately=True)
"""It ran in every whole hour of those two days."""
REFUSED = {NOW - HOUR: 1}
"""One call was rejected."""


# --- Clean ---------------------------------------------------------------------------------------------------------


def test_an_instance_that_ran_and_had_no_call_refused_is_clean() -> None:
    """The expected outcome of an enforcement."""
    assert Health.CLEAN is health(ALIVE)


@pytest.mark.parametrize(
    ("watched_for", "expected"),
    [
        (24 * HOUR, Health.WATCHED),
        (24 * HOUR + LATE - MOMENT, Health.WATCHED),
        (24 * HOUR + LATE, Health.CLEAN),
    ],
)
def test_the_watch_lasts_its_hours_and_until_the_last_of_them_shows(watched_for: timedelta, expected: Health) -> None:
    """CloudWatch may show a call of the last minute 15 minutes later."""
    assert expected is health(ALIVE, since=NOW - watched_for)


@pytest.mark.parametrize(("alive_hours", "expected"), [(0, Health.WATCHED), (21, Health.WATCHED), (22, Health.CLEAN)])
def test_silence_is_health_only_where_the_instance_ran(alive_hours: int, expected: Health) -> None:
    """Nine tenths of 24 hours are 21.6: 22 whole hours are required."""
    assert expected is health(replace(ALIVE, alive_hours=alive_hours))


def test_a_watch_ends_only_while_cloudwatch_shows_the_last_hour() -> None:
    """Where it is late, what it does not show yet may be rejected calls."""
    assert Health.WATCHED is health(replace(ALIVE, alive_lately=False))


@pytest.mark.parametrize(("ago", "expected"), [(24 * HOUR, Health.WATCHED), (24 * HOUR + LATE, Health.CLEAN)])
def test_what_has_to_be_quiet_longer_is_clean_later(ago: timedelta, expected: Health) -> None:
    """A canary's hours begin anew with a rejected call that nobody has explained."""
    assert expected is health(replace(ALIVE, refused=REFUSED), quiet_since=NOW - ago)


def test_a_quiet_time_that_begins_anew_ends_in_being_told() -> None:
    """Its life is counted from the beginning of the watch, whatever is rejected meanwhile."""
    known = {"since": NOW - 8 * DAY, "quiet_since": NOW - HOUR}
    assert Health.UNPROVEN is health(replace(ALIVE, alive_hours=180, refused=REFUSED), **known)


@pytest.mark.parametrize(
    ("hours", "min_coverage", "needed"),
    [
        (24, 0.9, 22),
        (10, 0.9, 9),
        (100, 0.07, 7),
        (168, 1.0, 168),
        (24, 0.0, 1),
        (1, 0.1, 1),
    ],
)
def test_how_many_hours_of_life_a_watch_asks_for(hours: int, min_coverage: float, needed: int) -> None:
    """The share rounded up, at least one, and not one too many because of floating point."""
    assert needed == alive_hours_needed(hours, min_coverage)


def test_an_incomplete_answer_is_no_health() -> None:
    """Calls that were not counted may have been rejected."""
    assert Health.WATCHED is health(replace(ALIVE, problem="CloudWatch answered Forbidden"))


# --- Broken --------------------------------------------------------------------------------------------------------


def test_refused_calls_that_are_a_pattern_are_breakage() -> None:
    """Nothing outweighs it, and it waits for nothing."""
    assert Health.BROKEN is health(replace(ALIVE, refused=REFUSED), broken=True)
    assert Health.BROKEN is health(Signs(refused=REFUSED), since=NOW - timedelta(minutes=1), broken=True)


def test_refused_calls_that_are_none_end_a_watch_like_silence() -> None:
    """They are told, and the watch goes on to its end."""
    assert Health.CLEAN is health(replace(ALIVE, refused=REFUSED))


def test_what_was_counted_of_an_incomplete_answer_counts() -> None:
    """It is a lower bound: more may have been rejected, not fewer."""
    signs = Signs(refused=REFUSED, problem="CloudWatch answered PartialData")
    assert Health.BROKEN is health(signs, broken=True)


def test_signs_add_up_their_calls() -> None:
    """Over all periods; the last is that of the newest."""
    signs = Signs(refused={NOW - HOUR: 4, NOW - 3 * HOUR: 2})
    assert (6, NOW - HOUR) == (signs.rejected_calls, signs.last_rejected_call)
    assert (0, None) == (ALIVE.rejected_calls, ALIVE.last_rejected_call)


# --- Neither -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("watched_for", "expected"), [(7 * DAY - MOMENT, Health.WATCHED), (7 * DAY, Health.UNPROVEN)])
def test_after_seven_days_of_running_without_proof_people_are_told(watched_for: timedelta, expected: Health) -> None:
    """It runs, but CloudWatch has no CPUUtilization for it."""
    assert expected is health(Signs(), since=NOW - watched_for)


@pytest.mark.parametrize(("alive_hours", "expected"), [(167, Health.WATCHED), (168, Health.UNPROVEN)])
def test_life_is_counted_across_stops(alive_hours: int, expected: Health) -> None:
    """An office-hours instance needs weeks to run for seven days; here, the metric of rejected calls is unreadable."""
    signs = Signs(alive_hours=alive_hours, problem="CloudWatch answered Forbidden")
    assert expected is health(signs, since=NOW - 30 * DAY, running_since=NOW - HOUR)


def test_an_instance_that_does_not_run_does_not_live() -> None:
    """Stopped for a month: nothing could break, nothing was proved, and no notification is needed."""
    assert Health.WATCHED is health(Signs(), since=NOW - 30 * DAY, running_since=None)


def test_a_start_in_the_watch_begins_its_life_anew() -> None:
    """Without data from CloudWatch, only the time since the last start is certain to be running time."""
    assert Health.WATCHED is health(Signs(), since=NOW - 30 * DAY, running_since=NOW - 6 * DAY)


def test_a_watch_as_long_as_seven_days_has_time_to_come_to_an_end() -> None:
    """The last hours arrive late; without extra time, the longest watch would always end without proof."""
    week = {"since": NOW - 7 * DAY - LATE, "hours": 168}
    assert Health.WATCHED is health(replace(ALIVE, alive_hours=151), **week)
    assert Health.CLEAN is health(replace(ALIVE, alive_hours=152), **week)
    assert Health.UNPROVEN is health(Signs(alive_hours=151), since=NOW - 7 * DAY - 6 * HOUR, hours=168)


# --- Property tests ------------------------------------------------------------------------------------------------

problems = st.none() | st.just("CloudWatch answered PartialData")
signs_of_any_kind = st.builds(
    Signs,
    refused=st.dictionaries(
        st.timedeltas(timedelta(), 20 * DAY).map(lambda ago: NOW - ago), st.integers(1, 3), max_size=3
    ),
    alive_hours=st.integers(0, 400),
    alive_lately=st.booleans(),
    problem=problems,
)
times_before = st.timedeltas(min_value=timedelta(), max_value=20 * DAY).map(lambda ago: NOW - ago)
watches = st.fixed_dictionaries(
    {
        "since": times_before,
        "hours": st.integers(1, 168),
        "running_since": st.none() | times_before,
        "broken": st.booleans(),
        "min_coverage": st.floats(0, 1),
    }
)


@given(signs=signs_of_any_kind, watch=watches)
def test_breakage_is_never_anything_else(signs: Signs, watch: dict[str, Any]) -> None:
    """Nothing else outweighs it."""
    assert Health.BROKEN is health(signs, **watch | {"broken": True})


@given(signs=signs_of_any_kind, watch=watches, later=times_before)
def test_a_later_quiet_time_never_makes_an_instance_clean(signs: Signs, watch: dict[str, Any], later: Any) -> None:
    """One that is not clean is not so with less quiet time either."""
    if Health.CLEAN is not health(signs, **watch):
        assert Health.CLEAN is not health(signs, **watch, quiet_since=later)


@given(signs=signs_of_any_kind, watch=watches)
def test_a_problem_is_never_clean(signs: Signs, watch: dict[str, Any]) -> None:
    """However long it ran, and however few calls were counted."""
    assert Health.CLEAN is not health(replace(signs, problem="CloudWatch answered Forbidden"), **watch)


@given(signs=signs_of_any_kind, watch=watches, less=st.integers(0, 400))
def test_less_life_never_makes_an_instance_clean(signs: Signs, watch: dict[str, Any], less: int) -> None:
    """An instance that is not clean with more running time is not clean with less."""
    if Health.CLEAN is not health(signs, **watch):
        assert Health.CLEAN is not health(replace(signs, alive_hours=max(0, signs.alive_hours - less)), **watch)


@given(signs=signs_of_any_kind, watch=watches, later=st.timedeltas(min_value=timedelta(), max_value=30 * DAY))
def test_time_alone_changes_no_judgement_that_was_reached(
    signs: Signs, watch: dict[str, Any], later: timedelta
) -> None:
    """Without new data, a broken instance stays broken and a clean one clean."""
    before = health(signs, **watch)
    if before in {Health.BROKEN, Health.CLEAN}:
        assert before is health(signs, **watch, now=NOW + later)
