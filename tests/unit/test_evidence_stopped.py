"""Young instances, and stopped ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.builders import NOW, arn, at, instance
from tests.unit.evidence_builders import (
    DAY,
    MINUTE,
    call,
    look,
    look_at_all,
    report,
    verdict_on,
)
from tests.world.cloudwatch import HOUR, MEMORY, CloudWatch, hour_of

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from imdsv2.domain.instance import Instance

IGNORING = Policy(boot_evidence=BootEvidence.IGNORE)

IGNORING = Policy(boot_evidence=BootEvidence.IGNORE)


def row(cloudwatch: CloudWatch, target: Instance, policy: Policy = Policy(), now: datetime = NOW) -> str:  # noqa: B008 - frozen
    """The reason of the verdict."""
    return verdict_on(cloudwatch, target, policy, now).reason.value


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
    """However long it was off before: 168 whole hours from its start on."""
    launched_at = at("2026-11-20 14:00") - hours_old * HOUR
    target = instance(launched_at=launched_at, first_launched_at=NOW - first if first else launched_at)
    report(cloudwatch, target, launched_at, NOW)
    verdict = verdict_on(cloudwatch, target)
    ready = launched_at + 168 * HOUR
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
    assert at("2026-11-20 20:00") == verdict_on(cloudwatch, target, policy).revisit_at
    # With 200 wanted, the earlier ones are gone before they help: 10 days have passed since the start when it is reached.
    wanted = replace(policy, min_observed_hours=200)
    assert at("2026-11-25 08:00") == verdict_on(cloudwatch, target, wanted).revisit_at


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
