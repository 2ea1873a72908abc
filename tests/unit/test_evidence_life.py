"""Life as EC2 tells it: freshness, gaps, young and stopped instances, and hours in which tokens were required."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.builders import NOW, arn, at, instance
from tests.unit.evidence_builders import (
    DAY,
    MINUTE,
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

IGNORING = Policy(boot_evidence=BootEvidence.IGNORE)


def row(cloudwatch: CloudWatch, target: Instance, policy: Policy = Policy(), now: datetime = NOW) -> str:  # noqa: B008 - frozen
    """The reason of the verdict."""
    return verdict_on(cloudwatch, target, policy, now).reason.value


# --- Freshness -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metrics", [(USE,), (USE, RAN)])
@pytest.mark.parametrize("days", [1, 3, 18, 34])
def test_an_instance_that_stopped_reporting_is_not_fresh(
    cloudwatch: CloudWatch, steady: Instance, metrics: tuple[str, ...], days: int
) -> None:
    """Whether or not its other metric goes on: EC2 says that it runs."""
    lose(cloudwatch, steady, hour_of(NOW - days * DAY), NOW, metrics)
    verdict = verdict_on(cloudwatch, steady)
    assert Reason.NO_EVIDENCE is verdict.reason
    assert f"no MetadataNoToken datapoint after {hour_of(NOW - days * DAY):%Y-%m-%d %H:%M} UTC" in verdict.explanation
    assert NOW + HOUR == verdict.revisit_at


@pytest.mark.parametrize(("lost", "fresh"), [(0, True), (1, True), (2, True), (3, False), (4, False)])
def test_one_of_the_last_three_whole_hours_must_have_a_datapoint(
    cloudwatch: CloudWatch, steady: Instance, lost: int, fresh: bool
) -> None:
    """The hour under way is none of them: CloudWatch may be an hour or two late."""
    lose(cloudwatch, steady, hour_of(NOW) - lost * HOUR, NOW)
    assert fresh is look(cloudwatch, steady).fresh
    assert ("unused" if fresh else "no_evidence") == row(cloudwatch, steady)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "stop and start it."),
        ({"tags": {"aws:autoscaling:groupName": "web"}}, "let its Auto Scaling group replace it"),
        ({"stoppable": False}, "reboot it."),
    ],
)
def test_nobody_is_told_to_stop_what_must_not_be_stopped(
    cloudwatch: CloudWatch, steady: Instance, fields: dict[str, object], words: str
) -> None:
    """A group replaces what is stopped, and Spot instances and instance-store roots do not come back."""
    lose(cloudwatch, steady, NOW - 9 * HOUR, NOW)
    verdict = verdict_on(cloudwatch, replace(steady, **fields))  # type: ignore[arg-type]
    assert words in verdict.explanation
    assert ("stop and start" in verdict.explanation) is (not fields)


def test_a_stopped_instance_is_as_fresh_as_it_was_when_it_stopped(cloudwatch: CloudWatch) -> None:
    """The last hours in which it ran must have a datapoint, however long ago they are."""
    stopped_at = at("2026-11-02 18:10")
    target = instance(state="stopped", launched_at=NOW - 50 * DAY, stopped_at=stopped_at)
    report(cloudwatch, target, target.launched_at, stopped_at)
    assert "unused" == row(cloudwatch, target)
    lose(cloudwatch, target, at("2026-11-02 15:00"), stopped_at)
    assert not look(cloudwatch, target).fresh
    assert "no_evidence" == row(cloudwatch, target)


def test_the_hours_of_an_earlier_run_are_fresh_enough_for_one_that_has_just_begun(cloudwatch: CloudWatch) -> None:
    """Started minutes ago, it has had no whole hour yet; its start then holds it."""
    target = instance(launched_at=NOW - 20 * MINUTE, first_launched_at=NOW - 40 * DAY)
    report(cloudwatch, target, NOW - 40 * DAY, NOW - 2 * DAY)
    assert look(cloudwatch, target).fresh
    assert ["boot_not_observable", "unused"] == [row(cloudwatch, target), row(cloudwatch, target, IGNORING)]


# --- Gaps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metrics", [(USE,), (USE, RAN)])
@pytest.mark.parametrize(("length", "reason"), [(24, "unused"), (25, "no_evidence"), (60, "no_evidence")])
@pytest.mark.parametrize("begins", [at("2026-11-03 05:00"), at("2026-10-16 15:00")], ids=["midst", "first hour"])
def test_a_gap_since_the_last_start_holds(
    cloudwatch: CloudWatch, steady: Instance, metrics: tuple[str, ...], length: int, reason: str, begins: datetime
) -> None:
    """It ran, because EC2 says so, and what it called for a day is not known; 90% of its hours are observed all the same."""
    lose(cloudwatch, steady, begins, begins + length * HOUR, metrics)
    seen = look(cloudwatch, steady)
    assert (length, begins) == (seen.gap.hours, seen.gap.begins)
    assert seen.coverage >= 0.9
    verdict = verdict_on(cloudwatch, steady)
    assert reason == verdict.reason
    if reason == "no_evidence":
        assert f"{length} hours in a row from {begins:%Y-%m-%d %H:%M} UTC on" in verdict.explanation
        assert "max_gap_hours" in verdict.explanation


@pytest.mark.parametrize(("length", "reason"), [(24, "unused"), (25, "unused"), (26, "no_evidence")])
def test_of_a_gap_that_reaches_out_of_the_window_the_hours_inside_count(
    cloudwatch: CloudWatch, steady: Instance, length: int, reason: str
) -> None:
    """The hour in which the window begins lies inside in part only."""
    begins = at("2026-10-16 14:00")
    lose(cloudwatch, steady, begins - DAY, begins + length * HOUR)
    assert reason == row(cloudwatch, steady)


@pytest.mark.parametrize(("metrics", "reason"), [((USE,), "no_evidence"), ((USE, RAN), "unused")])
def test_before_the_last_start_the_processor_tells_whether_it_ran(
    cloudwatch: CloudWatch, metrics: tuple[str, ...], reason: str
) -> None:
    """Without a datapoint of either it was off, and nothing is missing."""
    target = instance(launched_at=at("2026-11-14 08:00"), first_launched_at=NOW - 60 * DAY)
    report(cloudwatch, target, NOW - 60 * DAY, NOW)
    lose(cloudwatch, target, at("2026-11-10 00:00"), at("2026-11-12 00:00"), metrics)
    assert reason == row(cloudwatch, target)


def test_nights_do_not_end_a_gap(cloudwatch: CloudWatch) -> None:
    """Three office days without a datapoint are 36 hours in which it ran."""
    target = instance(launched_at=at("2026-11-20 07:00"), first_launched_at=NOW - 40 * DAY)
    for hour in hours(NOW - 40 * DAY, NOW):
        if hour.hour in range(7, 19):
            report(cloudwatch, target, hour, hour + HOUR)
    lose(cloudwatch, target, at("2026-11-09 00:00"), at("2026-11-12 00:00"))
    assert (36, at("2026-11-09 07:00")) == ((gap := look(cloudwatch, target).gap).hours, gap.begins)
    assert "no_evidence" == row(cloudwatch, target)
    assert "unused" == row(cloudwatch, target, Policy(max_gap_hours=36, min_coverage=0.5))


@pytest.mark.parametrize("hole", [24, 30])
def test_gaps_are_not_added_up(cloudwatch: CloudWatch, steady: Instance, hole: int) -> None:
    """The longest counts; the share of the hours is what counts for all of them."""
    for days in (8, 14, 20):
        lose(cloudwatch, steady, hour_of(NOW - days * DAY), hour_of(NOW - days * DAY) + hole * HOUR)
    seen = look(cloudwatch, steady)
    assert hole == seen.gap.hours
    assert (839 - 3 * hole) / 839 == pytest.approx(seen.coverage)


# --- Hours in which tokens were required ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history",
    [
        History(enforced_at=NOW - 9 * DAY, confirmed=True, rolled_back_at=NOW - 5 * DAY, cleared_at=NOW - 3 * DAY),
        History(enforced_at=NOW - 9 * DAY, confirmed=True, undone_at=NOW - 5 * DAY, cleared_at=NOW - 3 * DAY),
        History(enforced_at=NOW - 9 * DAY, confirmed=True, required_seen_at=NOW - 5 * DAY, cleared_at=NOW - 3 * DAY),
    ],
    ids=["rolled back", "undone", "opened by somebody"],
)
def test_hours_in_which_we_required_tokens_are_no_gap(
    cloudwatch: CloudWatch, steady: Instance, history: History
) -> None:
    """An instance that requires tokens publishes no accepted calls: nothing is missing there."""
    lose(cloudwatch, steady, NOW - 9 * DAY, NOW - 5 * DAY)
    assert "no_evidence" == row(cloudwatch, steady)
    seen = look(cloudwatch, steady, history=history)
    assert (0, 1.0) == (seen.gap.hours, seen.coverage)
    assert Reason.UNUSED is verdict_on(cloudwatch, steady, history=history).reason


def test_what_is_missing_after_they_were_required_is_missing(cloudwatch: CloudWatch, steady: Instance) -> None:
    """The gap does not end with the enforcement, and an enforcement that was made again has not ended."""
    lose(cloudwatch, steady, NOW - 9 * DAY, NOW - 3 * DAY)
    back = History(enforced_at=NOW - 9 * DAY, confirmed=True, rolled_back_at=NOW - 5 * DAY, cleared_at=NOW - 4 * DAY)
    seen = look(cloudwatch, steady, history=back)
    assert 47 <= seen.gap.hours <= 48
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, steady, history=back).reason
    older = History(enforced_at=NOW - 4 * DAY, rolled_back_at=NOW - 5 * DAY, cleared_at=NOW - 4 * DAY)
    assert look(cloudwatch, steady, history=older).gap.hours > 100


# --- Young instances -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [5 * MINUTE, 50 * MINUTE, 100 * MINUTE])
@pytest.mark.parametrize("first", [None, 200 * DAY], ids=["new", "off for months"])
def test_what_was_started_minutes_ago_is_judged_again_when_its_first_hours_are_over(
    cloudwatch: CloudWatch, age: timedelta, first: timedelta | None
) -> None:
    """Not in a day: by then it has datapoints."""
    launched_at = NOW - age
    target = instance(launched_at=launched_at, first_launched_at=NOW - first if first else launched_at)
    verdict = verdict_on(cloudwatch, target)
    assert Reason.NO_EVIDENCE is verdict.reason
    assert launched_at + 4 * HOUR + 15 * MINUTE == verdict.revisit_at


@pytest.mark.parametrize("hours_old", [30, 100, 160])
@pytest.mark.parametrize("first", [None, 300 * DAY], ids=["new", "off for months"])
def test_what_runs_day_and_night_is_told_the_hour_at_which_it_has_run_long_enough(
    cloudwatch: CloudWatch, hours_old: int, first: timedelta | None
) -> None:
    """However long it was off before: 168 whole hours from its start on, and the time that CloudWatch takes."""
    launched_at = at("2026-11-20 14:00") - hours_old * HOUR
    target = instance(launched_at=launched_at, first_launched_at=NOW - first if first else launched_at)
    report(cloudwatch, target, launched_at, NOW)
    verdict = verdict_on(cloudwatch, target)
    ready = launched_at + 168 * HOUR + 15 * MINUTE
    assert (Reason.TOO_YOUNG, ready) == (verdict.reason, verdict.revisit_at)
    assert f"{ready:%Y-%m-%d %H:%M} UTC" in verdict.explanation
    cloudwatch.now = lambda: ready
    report(cloudwatch, target, NOW, ready)
    assert "unused" == row(cloudwatch, target, now=ready)


def test_earlier_hours_count_for_as_long_as_they_are_in_the_window(cloudwatch: CloudWatch) -> None:
    """Those that will have left it by then do not."""
    target = instance(launched_at=at("2026-11-17 00:00"), first_launched_at=NOW - 100 * DAY)
    policy = Policy(lookback_days=10, min_observed_hours=140)
    report(cloudwatch, target, at("2026-11-11 00:00"), at("2026-11-13 00:00"))
    report(cloudwatch, target, target.launched_at, NOW)
    # 86 hours of this run and 48 of the one before: 6 more, and none of them leaves the window so soon.
    assert at("2026-11-20 20:15") == verdict_on(cloudwatch, target, policy).revisit_at
    # With 200 wanted, the earlier ones are gone before they help: 10 days have passed since the start when it is reached.
    wanted = replace(policy, min_observed_hours=200)
    assert at("2026-11-25 08:15") == verdict_on(cloudwatch, target, wanted).revisit_at


def test_what_runs_too_rarely_is_told_so(cloudwatch: CloudWatch) -> None:
    """A stopped instance gathers no hours by waiting."""
    stopped_at = NOW - 3 * DAY
    target = instance(state="stopped", launched_at=NOW - 6 * DAY, stopped_at=stopped_at)
    report(cloudwatch, target, target.launched_at, stopped_at)
    verdict = verdict_on(cloudwatch, target)
    assert (Reason.TOO_YOUNG, NOW + DAY) == (verdict.reason, verdict.revisit_at)
    assert "runs too little" in verdict.explanation


# --- Stopped instances ---------------------------------------------------------------------------------------------


def test_a_stopped_instance_is_looked_at_before_it_stopped(cloudwatch: CloudWatch) -> None:
    """Its window ends when it stopped, even if that was months ago."""
    stopped_at = NOW - 90 * DAY
    target = instance(state="stopped", launched_at=NOW - 200 * DAY, stopped_at=stopped_at)
    report(cloudwatch, target, target.launched_at, stopped_at)
    seen = look(cloudwatch, target)
    assert (stopped_at - 35 * DAY, stopped_at) == (seen.window_start, seen.window_end)
    assert (839, 1.0) == (seen.observed_hours, seen.coverage)
    assert "unused" == row(cloudwatch, target)
    call(cloudwatch, target, hour_of(stopped_at))
    verdict = verdict_on(cloudwatch, target)
    assert Reason.V1_IN_USE is verdict.reason
    assert "does not end by itself" in verdict.explanation


@pytest.mark.parametrize(("minute", "calls"), [(55, 1), (45, 0)], ids=["it may have run on", "it had long been off"])
def test_what_calls_while_the_machine_shuts_down_is_use(cloudwatch: CloudWatch, minute: int, calls: int) -> None:
    """EC2 reports when the stop was requested; software runs for some minutes more, possibly into the next hour."""
    stopped_at = hour_of(NOW - 5 * DAY) + minute * MINUTE
    target = instance(state="stopped", launched_at=NOW - 60 * DAY, stopped_at=stopped_at)
    report(cloudwatch, target, target.launched_at, stopped_at)
    call(cloudwatch, target, hour_of(stopped_at) + HOUR)
    assert calls == look(cloudwatch, target).use.calls


@pytest.mark.parametrize("ago", [2 * HOUR, 3 * DAY, 100 * DAY])
def test_without_a_stop_time_the_last_sign_of_life_tells_it(cloudwatch: CloudWatch, ago: timedelta) -> None:
    """Shut down from inside, EC2 does not say when: the hour of the last CPUUtilization is the last in which it ran."""
    stopped_at = NOW - ago
    target = instance(state="stopped", launched_at=NOW - 150 * DAY)
    report(cloudwatch, target, target.launched_at, stopped_at)
    seen = look(cloudwatch, target)
    assert (True, hour_of(stopped_at) + HOUR) == (seen.window_known, seen.window_end)
    assert "unused" == row(cloudwatch, target)
    call(cloudwatch, target, hour_of(stopped_at))
    assert "v1_in_use" == row(cloudwatch, target)


def test_a_sign_of_life_before_the_last_start_does_not_tell_when_it_stopped(cloudwatch: CloudWatch) -> None:
    """Nor does a neighbour's, whose longer life is asked about in the same call."""
    target = instance(state="stopped", launched_at=NOW - 10 * DAY, first_launched_at=NOW - 80 * DAY)
    neighbour = instance(arn=arn(2), state="stopped", launched_at=NOW - 80 * DAY)
    report(cloudwatch, neighbour, neighbour.launched_at, NOW - 2 * DAY)
    report(cloudwatch, target, NOW - 80 * DAY, NOW - 20 * DAY)
    silent, other = look_at_all(cloudwatch, [target, neighbour])
    assert (False, True) == (silent.window_known, other.window_known)
    assert silent == look(cloudwatch, target)
    verdict = verdict_on(cloudwatch, target)
    assert (Reason.NO_EVIDENCE, NOW + DAY) == (verdict.reason, verdict.revisit_at)
    assert "Nobody can tell when it was stopped" in verdict.explanation


@pytest.mark.parametrize("is_told", [True, False], ids=["EC2 says when", "EC2 does not say when"])
def test_stopped_for_longer_than_the_memory_is_a_reason_of_its_own(cloudwatch: CloudWatch, is_told: bool) -> None:
    """It has nothing to do with coverage, and waiting does not help."""
    stopped_at = NOW - MEMORY - 8 * DAY
    target = instance(state="stopped", launched_at=NOW - MEMORY - 90 * DAY, stopped_at=stopped_at if is_told else None)
    report(cloudwatch, target, target.launched_at, stopped_at)
    verdict = verdict_on(cloudwatch, target)
    assert (Decision.HOLD, Reason.STOPPED_TOO_LONG, NOW + DAY) == (
        verdict.decision,
        verdict.reason,
        verdict.revisit_at,
    )
    assert "455 days" in verdict.explanation
    assert "terminate" in verdict.explanation


def test_of_a_window_that_reaches_beyond_the_memory_what_is_remembered_is_looked_at(cloudwatch: CloudWatch) -> None:
    """Hours that CloudWatch has forgotten are no gap; the start lies among them."""
    stopped_at = NOW - MEMORY + 20 * DAY
    target = instance(state="stopped", launched_at=NOW - MEMORY - 90 * DAY, stopped_at=stopped_at)
    report(cloudwatch, target, NOW - MEMORY - 30 * DAY, stopped_at)
    assert (NOW - MEMORY, 0) == ((seen := look(cloudwatch, target)).window_start, seen.gap.hours)
    assert ["boot_not_observable", "unused"] == [row(cloudwatch, target), row(cloudwatch, target, IGNORING)]
