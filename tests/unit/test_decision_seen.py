"""Rows 16 to 19 of the verdict table: how much was seen, of the window and of the last start."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.policy import BootEvidence, Policy
from tests.unit.builders import (
    NOW,
    at,
    evidence,
    gap,
    instance,
    refused,
    start,
    unseen_start,
)
from tests.unit.decisions import judge, row

if TYPE_CHECKING:
    from imdsv2.domain.evidence.values import Start

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
QUARTER = timedelta(minutes=15)
POLICY = Policy()
MENDED = '{"mended": {"targets": ["arn:aws:ec2:eu-west-1:222222222222:instance/i-00000000000000001"]}'


# --- Rows 16 and 17: how much was seen -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coverage", "expected"),
    [
        (0.0, ("hold", "no_evidence")),
        (0.8999, ("hold", "no_evidence")),
        (0.9, ("enforce", "unused")),
        (1.0, ("enforce", "unused")),
    ],
)
def test_coverage_must_reach_the_minimum(coverage: float, expected: tuple[str, str]) -> None:
    """Row 16."""
    verdict = judge(seen=evidence(coverage=coverage))
    assert expected == row(verdict)
    if expected[0] == "hold":
        assert "90%" in verdict.explanation
        assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(("hours", "expected"), [(24, ("enforce", "unused")), (25, ("hold", "no_evidence"))])
def test_gaps_must_not_be_longer_than_the_maximum(hours: int, expected: tuple[str, str]) -> None:
    """Row 16: however much of the rest was observed."""
    verdict = judge(seen=evidence(gap=gap(hours)))
    assert expected == row(verdict)
    assert ("enforce", "unused") == row(judge(seen=evidence(gap=gap(hours)), policy=Policy(max_gap_hours=25)))
    if expected[0] == "hold":
        for words in ("25 hours in a row from 2026-11-15 14:30 UTC on", "24 are allowed", "max_gap_hours"):
            assert words in verdict.explanation
        assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(
    ("newest", "words"), [(at("2026-11-20 09:00"), "after 2026-11-20 09:00 UTC"), (None, "at all")]
)
def test_what_is_not_fresh_holds(newest: datetime | None, words: str) -> None:
    """Row 16: it may have begun to call since."""
    verdict = judge(seen=evidence(fresh=False, newest=newest))
    assert ("hold", "no_evidence") == row(verdict)
    assert words in verdict.explanation
    assert NOW + HOUR == verdict.revisit_at


def test_without_a_stop_time_there_is_no_window() -> None:
    """Row 16, even if the numbers look good: the days they refer to are unknown."""
    verdict = judge(instance(state="stopped"), evidence(window_known=False))
    assert ("hold", "no_evidence") == row(verdict)
    assert "stopped" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


def test_observed_hours_must_reach_the_minimum() -> None:
    """Row 17 requires as many hours as the policy says, not one more."""
    assert ("enforce", "unused") == row(judge(seen=evidence(observed_hours=168)))
    assert ("hold", "too_young") == row(judge(seen=evidence(observed_hours=167)))


def test_a_young_instance_is_judged_when_it_is_old_enough() -> None:
    """Row 17: at the hour at which the hours are there."""
    verdict = judge(seen=evidence(observed_hours=48, enough_at=at("2026-11-25 14:00")))
    assert ("hold", "too_young") == row(verdict)
    for words in ("48 hours", "168", "2026-11-25 14:00 UTC"):
        assert words in verdict.explanation
    assert at("2026-11-25 14:00") == verdict.revisit_at


def test_hours_that_cannot_be_reached_are_told() -> None:
    """Row 17: the instance is re-evaluated in a day, and the explanation says that waiting does not help."""
    verdict = judge(seen=evidence(observed_hours=100))
    assert ("hold", "too_young") == row(verdict)
    assert "too little to reach them within the 35 days" in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


# --- Row 18: the last start ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (unseen_start(), "There is no datapoint for the two hours from its last start on 2026-08-12 14:30 UTC on"),
        (unseen_start(missing=3), "3 of 24 periods have no whole datapoint"),
        (unseen_start(periods=0, missing=0), "stopped within minutes of its last start"),
        (unseen_start(forgotten=True, observable_at=None), "no longer remembers its last start"),
        (unseen_start(resumable=True), "may have been a resume"),
        (unseen_start(resumable=True, observable_at=NOW + HOUR), "may have been a resume"),
    ],
)
def test_a_start_that_was_not_observed_holds(seen: Start, words: str) -> None:
    """Row 18: each with what was not seen, and how to have it seen."""
    verdict = judge(seen=evidence(start=seen))
    assert ("hold", "boot_not_observable") == row(verdict)
    assert words in verdict.explanation
    assert MENDED in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


def test_a_start_that_nobody_looked_at_holds() -> None:
    """Row 18: nothing is not evidence."""
    assert ("hold", "boot_not_observable") == row(judge(seen=evidence(start=None)))


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize(
    "over_at", [NOW + timedelta(minutes=30), NOW + timedelta(seconds=1), NOW - timedelta(minutes=59)]
)
def test_a_start_that_is_not_yet_observable_is_looked_at_an_hour_after_it_is(over_at: datetime, state: str) -> None:
    """Row 18: an hour after the periods end, when CloudWatch has had time to show them."""
    target = instance(state=state, stopped_at=NOW if state == "stopped" else None)
    verdict = judge(target, evidence(start=unseen_start(observable_at=over_at)))
    assert ("hold", "boot_not_observable") == row(verdict)
    assert over_at + HOUR == verdict.revisit_at
    assert f"{over_at + HOUR:%Y-%m-%d %H:%M} UTC" in verdict.explanation


def test_an_hour_after_the_periods_ended_there_is_nothing_more_to_wait_for() -> None:
    """Row 18: a datapoint still missing by then will not arrive; the instance is re-evaluated in a day."""
    assert NOW + DAY == judge(seen=evidence(start=unseen_start(observable_at=NOW - HOUR))).revisit_at


@pytest.mark.parametrize("fields", [{}, {"forgotten": True}, {"resumable": True}, {"observable_at": NOW + HOUR}])
def test_the_policy_may_ignore_the_start(fields: dict[str, Any]) -> None:
    """Row 18 does not apply with `boot_evidence: ignore`, and the explanation does not claim what was not observed."""
    verdict = judge(seen=evidence(start=unseen_start(**fields)), policy=Policy(boot_evidence=BootEvidence.IGNORE))
    assert ("enforce", "unused") == row(verdict)
    assert "not observed" in verdict.explanation


# --- Row 19: unused ------------------------------------------------------------------------------------------------


def test_what_did_not_use_it_is_enforced() -> None:
    """Row 19; the explanation says how much was observed."""
    verdict = judge()
    assert ("enforce", "unused") == row(verdict)
    for words in ("No IMDSv1 call since 2026-10-16 14:30 UTC", "839 hours", "100%", "none at its last start on"):
        assert words in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


def test_what_was_refused_before_a_person_settled_it_is_told() -> None:
    """Row 19."""
    settled = refused(0, last=None, earlier=7, since=at("2026-11-12 10:00"))
    verdict = judge(seen=evidence(refused=settled))
    assert ("enforce", "unused") == row(verdict)
    assert "7 IMDSv1 calls were refused before 2026-11-12 10:00 UTC" in verdict.explanation


def test_a_stopped_instance_is_told_to_change_at_its_start() -> None:
    """Row 19: the explanation says that EC2 applies the change at the next start."""
    verdict = judge(instance(state="stopped", stopped_at=NOW))
    assert "stopped" in verdict.explanation
    assert "starts" in verdict.explanation


def test_a_restart_that_was_proved_before_is_told_as_seen() -> None:
    """Row 19: the time of the start that the ledger's proof is about."""
    proved = replace(evidence(), start=start(at=at("2026-03-01 05:00"), periods=0))
    assert "none at its last start on 2026-03-01 05:00 UTC" in judge(seen=proved).explanation
