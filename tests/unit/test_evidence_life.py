"""Life as EC2 tells it: freshness, gaps, young and stopped instances, and hours in which tokens were required."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict import Reason
from tests.unit.builders import NOW, at, instance
from tests.unit.evidence_builders import (
    DAY,
    MINUTE,
    RAN,
    USE,
    hours,
    look,
    lose,
    report,
    verdict_on,
)
from tests.world.cloudwatch import HOUR, CloudWatch, hour_of

if TYPE_CHECKING:
    from datetime import datetime

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
