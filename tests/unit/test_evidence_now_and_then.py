"""Machines that run now and then: their observed starts stand for the hours that they never collect."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Reason
from tests.unit.builders import NOW, instance
from tests.unit.evidence_builders import DAY, RAN, REFUSED, USE, call, look, lose, report, report_start, verdict_on
from tests.world.cloudwatch import HOUR, CloudWatch

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance

SHIFT = 6 * HOUR
EVERY = 5 * DAY
LAST = NOW - timedelta(hours=4, minutes=10)
FIRST = NOW - 100 * DAY


def batch(cloudwatch: CloudWatch, *, every: timedelta = EVERY, shift: timedelta = SHIFT, runs: int = 30) -> Instance:
    """It runs for a few hours every few days, the last time since four hours ago."""
    target = instance(launched_at=LAST, first_launched_at=FIRST)
    for number in range(runs):
        began = LAST - number * every
        if began < FIRST:
            break
        report(cloudwatch, target, began, min(began + shift, NOW))
        if number == 0:
            report_start(cloudwatch, target, began, began + 2 * HOUR)
    return target


def nth_start(number: int, every: timedelta = EVERY) -> datetime:
    """The beginning of a run, counted back from the last."""
    return LAST - number * every


def test_a_machine_that_runs_now_and_then_is_judged_by_its_starts(cloudwatch: CloudWatch) -> None:
    """Seven runs in the window, 44 hours together."""
    target = batch(cloudwatch)
    seen = look(cloudwatch, target)
    assert 7 == seen.clean_starts
    assert seen.observed_hours < 60
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


def test_three_days_a_week_of_eight_hours(cloudwatch: CloudWatch) -> None:
    """They never are 168 hours in a window of 35 days."""
    target = batch(cloudwatch, every=timedelta(hours=56), shift=8 * HOUR)
    assert look(cloudwatch, target).observed_hours < 168
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


def job(cloudwatch: CloudWatch, minutes: int, *, runs: int = 34) -> Instance:
    """It is started for a job of so many minutes at 02:10 every night, and stopped when that is done."""
    nights = [NOW.replace(hour=2, minute=10) - number * DAY for number in range(runs)]
    end = nights[0] + timedelta(minutes=minutes)
    target = replace(instance(launched_at=nights[0], first_launched_at=nights[-1]), state="stopped", stopped_at=end)
    for began in nights:
        report(cloudwatch, target, began, began + timedelta(minutes=minutes))
    return target


@pytest.mark.parametrize("minutes", [10, 45, 50, 70])
def test_a_nightly_job_of_less_than_an_hour(minutes: int, cloudwatch: CloudWatch) -> None:
    """Its run lies in one hour of the clock or in two, as it happens: all of it was seen."""
    target = job(cloudwatch, minutes)
    assert look(cloudwatch, target).observed_hours < 70
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


def test_a_short_run_is_no_start_where_it_ran_on_unseen(cloudwatch: CloudWatch) -> None:
    """By its other metric it ran for another hour each time but the last: whether it called then, nobody saw."""
    target = job(cloudwatch, 45)
    for number in range(1, 34):
        cloudwatch.put(RAN, target.arn.instance_id, NOW.replace(hour=3, minute=0) - number * DAY, 0)
    assert 1 == look(cloudwatch, target).clean_starts


@pytest.mark.parametrize(("nights", "seen"), [((1, 3), 32), ((5,), 33)])
def test_a_short_run_without_a_datapoint_is_no_start(
    nights: tuple[int, ...], seen: int, cloudwatch: CloudWatch
) -> None:
    """It ran, by its other metric."""
    target = job(cloudwatch, 45)
    for number in nights:
        began = target.launched_at - number * DAY
        lose(cloudwatch, target, began - HOUR, began + HOUR)
    # The first night begins with the window.
    assert seen - 1 == look(cloudwatch, target).clean_starts


@pytest.mark.parametrize(("wanted", "reason"), [(7, Reason.UNUSED), (8, Reason.TOO_YOUNG)])
def test_the_policy_says_how_many(wanted: int, reason: Reason, cloudwatch: CloudWatch) -> None:
    """`min_clean_starts`."""
    target = batch(cloudwatch)
    assert reason is verdict_on(cloudwatch, target, Policy(min_clean_starts=wanted)).reason


def test_a_start_whose_hours_lack_a_datapoint_is_none(cloudwatch: CloudWatch) -> None:
    """It ran, by its other metric; nobody saw whether it called."""
    target = batch(cloudwatch)
    for number in (1, 3):
        lose(cloudwatch, target, nth_start(number) - HOUR, nth_start(number) + HOUR)
    lose(cloudwatch, target, nth_start(5) + timedelta(minutes=30), nth_start(5) + 2 * HOUR)
    assert 4 == look(cloudwatch, target).clean_starts


def test_a_start_at_which_calls_were_refused_is_none_even_where_they_are_settled(cloudwatch: CloudWatch) -> None:
    """Those hours were not quiet."""
    target = batch(cloudwatch)
    call(cloudwatch, target, nth_start(2) + timedelta(minutes=20), metric=REFUSED)
    assert Reason.V1_REFUSED is verdict_on(cloudwatch, target).reason


def test_without_its_last_start_none_counts(cloudwatch: CloudWatch) -> None:
    """The one that EC2 tells of has to have been seen by five minutes."""
    target = batch(cloudwatch)
    lose(cloudwatch, target, LAST + timedelta(minutes=20), LAST + timedelta(minutes=40))
    assert 0 == look(cloudwatch, target).clean_starts
    assert Reason.TOO_YOUNG is verdict_on(cloudwatch, target).reason


def test_a_hole_in_the_metric_is_no_start(cloudwatch: CloudWatch) -> None:
    """It ran all the time; its own metric was lost now and then."""
    target = instance(launched_at=NOW - 3 * DAY, first_launched_at=NOW - 6 * DAY)
    report(cloudwatch, target, NOW - 6 * DAY, NOW)
    for days in (4, 5):
        lose(cloudwatch, target, NOW - days * DAY, NOW - days * DAY + 12 * HOUR, (USE,))
    assert 1 == look(cloudwatch, target).clean_starts


def test_the_end_of_required_tokens_is_no_start(cloudwatch: CloudWatch) -> None:
    """The service required them until the window had begun; before that there are no datapoints, and nobody asks whether it ran."""
    target = instance(launched_at=LAST, first_launched_at=FIRST)
    window, put_back = NOW - 35 * DAY, NOW - 34 * DAY
    report(cloudwatch, target, put_back, put_back + SHIFT)
    report(cloudwatch, target, window - DAY, put_back, (RAN,))
    report(cloudwatch, target, LAST - EVERY, LAST - EVERY + SHIFT)
    report(cloudwatch, target, LAST, NOW)
    history = History(enforced_at=window - DAY, confirmed=True, undone_at=put_back, cleared_at=put_back + HOUR)
    assert 2 == look(cloudwatch, target, history=history).clean_starts
    assert Reason.TOO_YOUNG is verdict_on(cloudwatch, target, history=history).reason


def test_of_what_can_hibernate_only_the_last_start_counts(cloudwatch: CloudWatch) -> None:
    """The others may have been resumes, at which no boot software ran; the last is a reboot."""
    target = replace(batch(cloudwatch), hibernates=True)
    history = History(mended_at=None, rebooted_at=LAST + timedelta(minutes=5))
    report_start(cloudwatch, target, LAST, LAST + 3 * HOUR)
    assert 1 == look(cloudwatch, target, history=history).clean_starts
    assert Reason.TOO_YOUNG is verdict_on(cloudwatch, target, history=history).reason
    assert 7 == look(cloudwatch, replace(target, hibernates=False), history=history).clean_starts


def test_older_use_that_comes_again_is_looked_for(cloudwatch: CloudWatch) -> None:
    """Two bursts before the window, 40 days apart."""
    target = batch(cloudwatch)
    for number in (9, 17):
        call(cloudwatch, target, nth_start(number) + timedelta(minutes=30), metric=USE)
    assert Reason.V1_RECURS is verdict_on(cloudwatch, target).reason


def test_a_young_machine_does_not_pass_by_restarts(cloudwatch: CloudWatch) -> None:
    """First launched two days ago, and stopped and started every few hours since."""
    target = instance(launched_at=LAST, first_launched_at=NOW - 2 * DAY)
    for number in range(5):
        began = LAST - number * 9 * HOUR
        report(cloudwatch, target, began, min(began + 5 * HOUR, NOW), (USE, RAN))
    report_start(cloudwatch, target, LAST, LAST + 2 * HOUR)
    assert Reason.TOO_YOUNG is verdict_on(cloudwatch, target).reason
