"""The last start: what was seen of the two hours after it, and of the reboot that a person told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict import Reason
from tests.unit.builders import NOW, at, instance
from tests.unit.evidence_builders import (
    DAY,
    FIVE,
    MINUTE,
    REFUSED,
    USE,
    call,
    look,
    lose,
    periods,
    report,
    start_seen,
    started,
    verdict_on,
)
from tests.world.cloudwatch import HOUR, CloudWatch, hour_of

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import Instance


# --- By periods of five minutes ------------------------------------------------------------------------------------


def test_a_start_is_observed_where_each_of_its_five_minutes_is(cloudwatch: CloudWatch) -> None:
    """Those wholly inside the two hours."""
    target = started(cloudwatch, at("2026-11-15 09:31"))
    assert (True, 24, 0) == (
        (seen := start_seen(cloudwatch, target)).observed,
        seen.periods,
        seen.missing,
    )
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


@pytest.mark.parametrize(
    ("lost", "is_needed"),
    [
        ("2026-11-15 09:25", False),  # over before the start
        ("2026-11-15 09:30", True),  # four of its minutes are left
        ("2026-11-15 09:35", True),
        ("2026-11-15 10:40", True),
        ("2026-11-15 11:25", True),
        ("2026-11-15 11:30", False),  # not over when the start is
    ],
)
def test_a_start_of_which_five_minutes_are_missing_is_observed_in_part(
    cloudwatch: CloudWatch, lost: str, is_needed: bool
) -> None:
    """Wherever they lie: what called in them is not known."""
    target = started(cloudwatch, at("2026-11-15 09:31"))
    lose(cloudwatch, target, at(lost), at(lost) + FIVE)
    verdict = verdict_on(cloudwatch, target)
    assert (Reason.BOOT_NOT_OBSERVABLE if is_needed else Reason.UNUSED) is verdict.reason
    assert is_needed == ("1 of 24 periods has no whole datapoint" in verdict.explanation)


@pytest.mark.parametrize(("launched_at", "is_needed"), [("2026-11-15 09:32:30", True), ("2026-11-15 09:32:31", False)])
def test_the_five_minutes_of_the_start_itself_are_needed_where_half_of_them_were_left(
    cloudwatch: CloudWatch, launched_at: str, is_needed: bool
) -> None:
    """The first minutes are those in which most boot software calls."""
    target = started(cloudwatch, at(launched_at))
    lose(cloudwatch, target, at("2026-11-15 09:30"), at("2026-11-15 09:35"))
    assert start_seen(cloudwatch, target).observed is not is_needed


def test_a_start_whose_first_hour_is_missing_says_nothing_of_it(cloudwatch: CloudWatch) -> None:
    """Late in an hour as the start was, its first calls lie there."""
    target = started(cloudwatch, at("2026-11-12 21:48"))
    lose(cloudwatch, target, at("2026-11-12 21:00"), at("2026-11-12 22:00"))
    verdict = verdict_on(cloudwatch, target)
    assert Reason.BOOT_NOT_OBSERVABLE is verdict.reason
    assert "none at its last start" not in verdict.explanation


def test_hourly_datapoints_alone_do_not_show_a_start_of_which_cloudwatch_has_five_minutes(
    cloudwatch: CloudWatch,
) -> None:
    """An hour with a datapoint may have been seen for five minutes only."""
    target = started(cloudwatch, at("2026-11-15 09:00"))
    for hour in (9, 10):
        lose(cloudwatch, target, at(f"2026-11-15 {hour:02}:05"), at(f"2026-11-15 {hour + 1:02}:00"))
    assert (False, 22) == ((seen := start_seen(cloudwatch, target)).observed, seen.missing)


@pytest.mark.parametrize(("samples", "observed"), [(5, True), (4, False), (1, False)])
def test_five_minutes_with_fewer_samples_than_the_others_were_not_seen_whole(
    cloudwatch: CloudWatch, samples: int, observed: bool
) -> None:
    """SampleCount tells them apart; a Xen host's single sample is a whole one where all have one."""
    target = started(cloudwatch, NOW - 3 * DAY)
    for number, when in enumerate(periods(target.launched_at, target.launched_at + 2 * HOUR)):
        cloudwatch.put(USE, target.arn.instance_id, when, 0, samples if number == 7 else 5)
    assert observed is start_seen(cloudwatch, target).observed


def test_the_five_minutes_in_which_it_began_cannot_have_all_samples(cloudwatch: CloudWatch) -> None:
    """It ran for three of them."""
    target = started(cloudwatch, at("2026-11-15 09:32"))
    for when in periods(at("2026-11-15 09:32"), at("2026-11-15 11:32")):
        cloudwatch.put(USE, target.arn.instance_id, when, 0, 3 if when == at("2026-11-15 09:30") else 5)
    assert start_seen(cloudwatch, target).observed


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4])
def test_stamps_need_not_lie_on_the_boundaries_of_periods(cloudwatch: CloudWatch, offset: int) -> None:
    """Datapoints every five minutes, from any minute on, show a start whole."""
    target = instance(launched_at=at("2026-11-18 04:11:40"), first_launched_at=NOW - 100 * DAY)
    report(cloudwatch, target, NOW - 100 * DAY, at("2026-11-18 04:00"))
    report(cloudwatch, target, at("2026-11-18 07:00"), NOW)
    for when in periods(at("2026-11-18 04:10"), at("2026-11-18 07:00")):
        cloudwatch.put(USE, target.arn.instance_id, when + offset * MINUTE, 0, 5)
    assert start_seen(cloudwatch, target).observed


@pytest.mark.parametrize(
    ("launched_at", "now", "observed"),
    [
        (at("2026-11-20 11:20"), at("2026-11-20 13:19:59"), False),
        (at("2026-11-20 11:20"), at("2026-11-20 13:20"), True),
        (at("2026-11-20 12:29"), NOW, True),
        (at("2026-11-20 12:31"), NOW, False),
    ],
)
def test_the_two_hours_must_be_over(launched_at: datetime, now: datetime, observed: bool) -> None:
    """It is judged again an hour after they are, when CloudWatch has had time to show them."""
    cloudwatch = CloudWatch(lambda: now)
    target = started(cloudwatch, launched_at, now)
    verdict = verdict_on(cloudwatch, target, now=now)
    assert (Reason.UNUSED if observed else Reason.BOOT_NOT_OBSERVABLE) is verdict.reason
    if not observed:
        assert launched_at + 3 * HOUR == verdict.revisit_at


def test_a_start_that_a_stop_ended_is_observed_to_its_end(cloudwatch: CloudWatch) -> None:
    """Each of its forty minutes was seen: there is no more of it."""
    launched_at, stopped_at = at("2026-11-19 10:20"), at("2026-11-19 11:01")
    target = started(cloudwatch, launched_at, stopped_at, state="stopped", stopped_at=stopped_at)
    assert (True, 8) == ((seen := start_seen(cloudwatch, target)).observed, seen.periods)
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason
    lose(cloudwatch, target, at("2026-11-19 10:35"), at("2026-11-19 10:40"))
    assert Reason.BOOT_NOT_OBSERVABLE is verdict_on(cloudwatch, target).reason


def test_a_start_that_ended_within_a_minute_shows_nothing(cloudwatch: CloudWatch) -> None:
    """No period of five minutes lies in it, and none tells of it."""
    launched_at = at("2026-11-19 10:23:10")
    stopped_at = launched_at + MINUTE
    target = started(cloudwatch, launched_at, stopped_at, state="stopped", stopped_at=stopped_at)
    verdict = verdict_on(cloudwatch, target, now=stopped_at + DAY)
    assert Reason.BOOT_NOT_OBSERVABLE is verdict.reason
    assert "stopped within minutes" in verdict.explanation


# --- Calls at a start before the window ----------------------------------------------------------------------------


@pytest.fixture
def old(cloudwatch: CloudWatch) -> Instance:
    """An instance whose last start lies before the window, and whose five minutes CloudWatch still has."""
    return started(cloudwatch, at("2026-10-01 10:21"))


@pytest.mark.parametrize("metric", [USE, REFUSED])
@pytest.mark.parametrize(
    ("when", "counts"),
    [
        ("2026-10-01 10:02", False),  # before the stop that came before this start
        ("2026-10-01 10:14", False),
        ("2026-10-01 10:18", True),  # covers the time up to 10:23
        ("2026-10-01 10:21", True),
        ("2026-10-01 12:20", True),
        ("2026-10-01 12:25", False),
    ],
)
def test_what_counts_at_a_start_is_what_happened_between_it_and_two_hours_later(
    cloudwatch: CloudWatch, old: Instance, metric: str, when: str, counts: bool
) -> None:
    """A datapoint covers the five minutes from its stamp on, and what came in the same hour before the start is no part."""
    call(cloudwatch, old, at(when), metric=metric, calls=3)
    assert (3 if counts else 0) == start_seen(cloudwatch, old).calls
    verdict = verdict_on(cloudwatch, old)
    assert (Reason.V1_AT_BOOT if counts else Reason.UNUSED) is verdict.reason
    assert Policy().boot_evidence is BootEvidence.REQUIRE


def test_without_five_minutes_the_hours_that_touch_a_start_count(cloudwatch: CloudWatch, steady: Instance) -> None:
    """A start 100 days ago gets a look of its own, at these hours and no others."""
    for hours_later, calls in ((-1, 100), (0, 1), (1, 2), (2, 4), (3, 200)):
        call(cloudwatch, steady, hour_of(steady.launched_at) + hours_later * HOUR, calls=calls)
    seen = look(cloudwatch, steady)
    assert seen.start is not None
    assert (0, 7) == (seen.use.calls, seen.start.calls)
    assert Reason.V1_AT_BOOT is verdict_on(cloudwatch, steady).reason
    begin = hour_of(steady.launched_at)
    assert (begin, begin + 3 * HOUR) in [(each["StartTime"], each["EndTime"]) for each in cloudwatch.calls_for(USE)]


@pytest.mark.parametrize(
    ("launched_at", "needed"),
    [
        (at("2026-08-15 14:00"), [14]),
        (at("2026-08-15 14:00:01"), [14, 15]),
        (at("2026-08-15 14:45:00"), [14, 15]),
        (at("2026-08-15 14:45:01"), [15]),
        (at("2026-08-15 13:59:59"), [14]),
    ],
)
def test_without_five_minutes_a_start_is_observed_by_its_hours(launched_at: datetime, needed: list[int]) -> None:
    """The first whole hour after the start, and the hour of the start if at least 15 minutes of it remained."""
    for missing in (None, 13, 14, 15, 16):
        cloudwatch = CloudWatch(lambda: NOW)
        target = started(cloudwatch, launched_at)
        if missing is not None:
            hour = launched_at.replace(hour=missing, minute=0, second=0)
            lose(cloudwatch, target, hour, hour + HOUR)
        expected = Reason.BOOT_NOT_OBSERVABLE if missing in needed else Reason.UNUSED
        assert expected is verdict_on(cloudwatch, target).reason, missing


def test_a_start_within_the_window_is_looked_at_with_it(cloudwatch: CloudWatch) -> None:
    """The window's hours tell of its calls; only its samples are a question of their own."""
    target = started(cloudwatch, NOW - 5 * DAY)
    start_seen(cloudwatch, target)
    asked = [each["MetricDataQueries"][0]["MetricStat"] for each in cloudwatch.calls_for(USE)]
    assert [(3600, "Sum"), (300, "SampleCount"), (604800, "Sum")] == [(each["Period"], each["Stat"]) for each in asked]


def test_a_start_that_straddles_the_beginning_of_the_window_is_seen_whole(cloudwatch: CloudWatch) -> None:
    """Its first hour lies before the window, the following hours are inside."""
    launched_at = NOW - 35 * DAY - HOUR
    target = started(cloudwatch, launched_at)
    assert start_seen(cloudwatch, target).observed
    call(cloudwatch, target, launched_at + 10 * MINUTE)
    seen = look(cloudwatch, target)
    assert seen.start is not None
    assert (0, 1) == (seen.use.calls, seen.start.calls)
