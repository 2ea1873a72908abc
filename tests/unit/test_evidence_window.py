"""The window: its edges, its use, and how much of it was observed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.builders import NOW, arn, at, instance
from tests.unit.evidence_builders import (
    DAY,
    POLICY,
    RAN,
    USE,
    call,
    hours,
    look,
    look_at_all,
    lose,
    report,
    verdict_on,
)
from tests.world.cloudwatch import HOUR, MEMORY, CloudWatch, hour_of

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance


# --- Edges and use -------------------------------------------------------------------------------------------------


def test_a_steady_instance_is_seen_whole(cloudwatch: CloudWatch, steady: Instance) -> None:
    """35 days from half past to half past contain 839 whole hours."""
    seen = look(cloudwatch, steady)
    assert (NOW - 35 * DAY, NOW) == (seen.window_start, seen.window_end)
    assert (839, 1.0, 0) == (seen.observed_hours, seen.coverage, seen.gap.hours)
    assert (0, None, "") == (seen.use.calls, seen.use.last, seen.use.pattern)
    assert (True, hour_of(NOW)) == (seen.fresh, seen.newest)
    assert seen.start is not None
    assert (True, 0) == (seen.start.observed, seen.start.calls)
    assert seen.problem is None
    assert 3600 == seen.period_seconds
    assert Reason.UNUSED is verdict_on(cloudwatch, steady).reason


@pytest.mark.parametrize(
    ("now", "hour", "counts"),
    [
        (NOW, at("2026-10-16 14:00"), True),  # holds the beginning of the window, 14:30
        (NOW, at("2026-10-16 13:00"), False),
        (NOW, at("2026-11-20 14:00"), True),  # the hour under way
        (at("2026-11-20 14:00"), at("2026-10-16 14:00"), True),
        (at("2026-11-20 14:00"), at("2026-10-16 13:00"), False),  # ends where the window begins
        (at("2026-11-20 14:00:01"), at("2026-11-20 14:00"), True),
    ],
)
def test_use_counts_in_every_hour_that_touches_the_window(
    cloudwatch: CloudWatch, steady: Instance, now: datetime, hour: datetime, counts: bool
) -> None:
    """Use just before the window is reported as older use."""
    call(cloudwatch, steady, hour, calls=7)
    seen = look(cloudwatch, steady, now=now)
    assert (7, hour) if counts else (0, None) == (seen.use.calls, seen.use.last)
    assert (0 if counts else 7) == seen.older.calls
    assert (Reason.V1_IN_USE if counts else Reason.UNUSED) is verdict_on(cloudwatch, steady, now=now).reason


@pytest.mark.parametrize(
    ("now", "observed"), [(NOW, 47), (at("2026-11-20 14:00"), 48), (at("2026-11-20 14:00:01"), 47)]
)
def test_only_hours_wholly_inside_are_observed(
    cloudwatch: CloudWatch, steady: Instance, now: datetime, observed: int
) -> None:
    """Two days from half past to half past contain 47 whole hours."""
    assert observed == look(cloudwatch, steady, Policy(lookback_days=2, min_observed_hours=1), now).observed_hours


def test_use_is_added_up_counted_by_hours_and_days_and_dated_by_its_last_hour(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """In whatever order CloudWatch returns the hours."""
    for when, calls in (
        (at("2026-11-10 03:00"), 2),
        (at("2026-11-19 04:00"), 1),
        (at("2026-11-01 05:00"), 40),
        (at("2026-11-01 06:00"), 1),
    ):
        call(cloudwatch, steady, when, calls=calls)
    seen = look(cloudwatch, steady).use
    assert (44, 4, 3, at("2026-11-19 04:00")) == (seen.calls, seen.hours, seen.days, seen.last)


def test_a_fraction_of_a_call_is_a_call(cloudwatch: CloudWatch, steady: Instance) -> None:
    """CloudWatch counts in floats; no value above zero is rounded down to zero."""
    call(cloudwatch, steady, at("2026-11-10 03:00"), calls=0.01)
    assert 1 == look(cloudwatch, steady).use.calls


def test_one_call_long_ago_holds_until_a_date_that_is_told(cloudwatch: CloudWatch, steady: Instance) -> None:
    """It leaves the window with its hour, 35 days after it, and is then judged again at once."""
    call(cloudwatch, steady, at("2026-10-17 06:25"))
    verdict = verdict_on(cloudwatch, steady)
    assert Reason.V1_IN_USE is verdict.reason
    assert "on 2026-10-17 between 06:00 and 07:00 UTC" in verdict.explanation
    assert "ends by itself on 2026-11-21 07:00 UTC" in verdict.explanation
    assert at("2026-11-21 07:00") == verdict.revisit_at
    for now, reason in ((at("2026-11-21 06:59:59"), Reason.V1_IN_USE), (at("2026-11-21 07:00"), Reason.UNUSED)):
        report(cloudwatch, steady, NOW, now)
        cloudwatch.now = lambda now=now: now  # type: ignore[misc]
        assert reason is verdict_on(cloudwatch, steady, now=now).reason


def test_the_window_begins_with_the_first_launch_not_the_last(cloudwatch: CloudWatch) -> None:
    """Use before the last start counts: a restart must not hide it."""
    first = NOW - 10 * DAY
    target = instance(launched_at=NOW - 3 * DAY, first_launched_at=first)
    report(cloudwatch, target, first, NOW)
    call(cloudwatch, target, NOW - 9 * DAY)
    seen = look(cloudwatch, target)
    assert first == seen.window_start
    assert 239 == seen.observed_hours
    assert Reason.V1_IN_USE is verdict_on(cloudwatch, target).reason


def test_without_a_known_first_launch_the_whole_window_is_looked_at(cloudwatch: CloudWatch) -> None:
    """Nothing is assumed from an attribute that EC2 does not show."""
    target = instance(launched_at=NOW - 3 * DAY, first_launched_at=None)
    report(cloudwatch, target, NOW - 30 * DAY, NOW)
    call(cloudwatch, target, NOW - 30 * DAY)
    seen = look(cloudwatch, target)
    assert (NOW - 35 * DAY, 1) == (seen.window_start, seen.use.calls)


@pytest.mark.parametrize("ago", [timedelta(seconds=20), timedelta()], ids=["just launched", "launched this second"])
def test_an_answer_that_is_complete_but_empty_is_coverage_zero(cloudwatch: CloudWatch, ago: timedelta) -> None:
    """Row 16, not row 12: the query was valid, and CloudWatch had no data."""
    target = instance(launched_at=NOW - ago)
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target).reason
    assert (0.0, 0) == (look(cloudwatch, target).coverage, look(cloudwatch, target).observed_hours)


def test_an_instance_launched_on_the_hour_of_the_question_has_no_window_yet(cloudwatch: CloudWatch) -> None:
    """CloudWatch rejects an empty range; it is not queried, and there is no evidence."""
    now = at("2026-11-20 14:00")
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, instance(launched_at=now), now=now).reason


def test_no_question_reaches_beyond_the_memory_of_the_metric(cloudwatch: CloudWatch) -> None:
    """But for the week in which it ends: expired datapoints count against the limits all the same."""
    targets = [
        instance(launched_at=NOW - 900 * DAY),
        instance(arn=arn(2), launched_at=NOW - 3 * DAY, first_launched_at=None),
        instance(arn=arn(3), state="stopped", launched_at=NOW - 900 * DAY, stopped_at=NOW - 440 * DAY),
        instance(arn=arn(4), state="stopped", launched_at=NOW - 900 * DAY),
    ]
    report(cloudwatch, targets[0], NOW - 400 * DAY, NOW)
    look_at_all(cloudwatch, targets)
    weekly = [each["MetricDataQueries"][0]["MetricStat"]["Period"] > 24 * 3600 for each in cloudwatch.asked]
    assert {True, False} == set(weekly)
    for asked, is_weekly in zip(cloudwatch.asked, weekly, strict=True):
        assert asked["StartTime"] >= hour_of(NOW - MEMORY) - (7 * DAY if is_weekly else DAY)


# --- Coverage ------------------------------------------------------------------------------------------------------


def office_hours(end: datetime = NOW) -> list[datetime]:
    """The running hours of an instance that is started at 7 and stopped at 19, over 40 days."""
    return [hour for hour in hours(end - 40 * DAY, end) if hour.hour in range(7, 19)]


def office(cloudwatch: CloudWatch, metrics: tuple[str, ...] = (USE, RAN)) -> Instance:
    """An instance that runs in office hours, and was started this morning."""
    target = instance(launched_at=at("2026-11-20 07:00"), first_launched_at=NOW - 40 * DAY)
    for hour in office_hours():
        report(cloudwatch, target, hour, hour + HOUR, metrics)
    return target


def test_hours_in_which_it_did_not_run_are_not_missed(cloudwatch: CloudWatch) -> None:
    """An office-hours instance has full coverage; CPUUtilization shows that it was off at night."""
    target = office(cloudwatch)
    seen = look(cloudwatch, target)
    assert (419, 1.0) == (seen.observed_hours, seen.coverage)
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


def test_no_datapoint_is_never_zero(cloudwatch: CloudWatch) -> None:
    """Hours in which it ran without a datapoint of the metric count against it, although they were probably quiet."""
    target = office(cloudwatch)
    for hour in office_hours()[::4]:
        lose(cloudwatch, target, hour, hour + HOUR)
    seen = look(cloudwatch, target)
    assert 0.75 == pytest.approx(seen.coverage, abs=0.01)
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target).reason


@pytest.mark.parametrize("metrics", [[], [RAN]])
def test_silence_covers_nothing(cloudwatch: CloudWatch, metrics: list[str]) -> None:
    """Neither an instance without any datapoints, nor one that ran and did not report, has coverage."""
    target = instance()
    report(cloudwatch, target, target.launched_at, NOW, metrics)
    seen = look(cloudwatch, target)
    assert (0, 0.0, 0) == (seen.observed_hours, seen.coverage, seen.use.calls)
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target).reason


def test_an_hour_without_any_metric_is_an_hour_in_which_a_running_instance_ran(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """EC2 says that it has been running since its last start, whatever CPUUtilization lacks."""
    for hour in hours(steady.launched_at, NOW)[::3]:
        lose(cloudwatch, steady, hour, hour + HOUR, (USE, RAN))
    seen = look(cloudwatch, steady)
    assert 0.67 == pytest.approx(seen.coverage, abs=0.01)
    assert 560 == pytest.approx(seen.observed_hours, abs=2)
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, steady).reason


def test_processor_load_is_asked_for_only_where_the_metric_falls_short_before_the_last_start(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """And only for the hours that need it: from the first to the last missing one."""
    short = replace(steady, arn=arn(2), launched_at=NOW - 8 * DAY)
    used = replace(steady, arn=arn(3))
    silent = replace(steady, arn=arn(4))
    report(cloudwatch, short, NOW - 100 * DAY, NOW)
    lose(cloudwatch, short, NOW - 20 * DAY, NOW - 10 * DAY)
    report(cloudwatch, used, NOW - 2 * DAY, NOW, [USE], 1)
    look_at_all(cloudwatch, [steady, short, used, silent])
    (asked,) = cloudwatch.calls_for(RAN)
    (query,) = asked["MetricDataQueries"]
    assert short.arn.instance_id == query["MetricStat"]["Metric"]["Dimensions"][0]["Value"]
    assert (hour_of(NOW - 20 * DAY) + HOUR, hour_of(NOW - 10 * DAY) + HOUR) == (asked["StartTime"], asked["EndTime"])


def test_processor_load_is_not_asked_for_where_a_few_hours_are_missing(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """The metric alone proves 90% or more, whatever the instance did in the other hours."""
    restarted = replace(steady, launched_at=NOW - 5 * DAY)
    for days in (9, 13, 17):
        lose(cloudwatch, restarted, NOW - days * DAY, NOW - (days - 1) * DAY)
    seen = look(cloudwatch, restarted)
    assert [] == cloudwatch.calls_for(RAN)
    assert POLICY.min_coverage <= seen.coverage < 1


def test_hours_that_are_asked_about_in_one_call_are_those_of_each_instance(cloudwatch: CloudWatch) -> None:
    """A neighbour's longer range brings datapoints along that lie outside an instance's own window."""
    neighbour = instance(arn=arn(2), state="stopped", launched_at=NOW - 90 * DAY, stopped_at=NOW - 50 * DAY)
    target = office(cloudwatch)
    report(cloudwatch, neighbour, neighbour.launched_at, NOW - 50 * DAY)
    call(cloudwatch, target, NOW - 36 * DAY)
    alone = look(cloudwatch, target)
    assert alone == look_at_all(cloudwatch, [target, neighbour])[0]
    assert (0, 1, Decision.ENFORCE) == (alone.use.calls, alone.older.calls, verdict_on(cloudwatch, target).decision)
