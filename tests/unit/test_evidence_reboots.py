"""Starts that are forgotten or proved, resumes from hibernation, and reboots that a person or CloudTrail told of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.policy import BootEvidence, Policy
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.builders import NOW, arn, at, instance
from tests.unit.evidence_builders import (
    DAY,
    POLICY,
    RAN,
    REFUSED,
    USE,
    WIDE,
    call,
    look,
    look_at_all,
    report,
    report_start,
    start_seen,
    started,
    verdict_on,
)
from tests.world.cloudwatch import HOUR, MEMORY, CloudWatch

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance


# --- What is forgotten, and what the ledger keeps ------------------------------------------------------------------


@pytest.mark.parametrize(("age", "forgotten"), [(MEMORY - DAY, False), (MEMORY + timedelta(minutes=1), True)])
@pytest.mark.parametrize("lookback_days", [35, 455])
def test_a_start_beyond_the_memory_of_the_metric_is_forgotten(
    cloudwatch: CloudWatch, age: timedelta, forgotten: bool, lookback_days: int
) -> None:
    """CloudWatch keeps hourly data for 455 days; datapoints of an older start are not used, even if some remain."""
    cloudwatch.memory = MEMORY + DAY
    target = instance(launched_at=NOW - age)
    report(cloudwatch, target, target.launched_at, NOW, [USE])
    policy = Policy(lookback_days=lookback_days)
    verdict = verdict_on(cloudwatch, target, policy)
    assert (Reason.BOOT_NOT_OBSERVABLE if forgotten else Reason.UNUSED) is verdict.reason
    assert ("no longer remembers" in verdict.explanation) is forgotten
    ignoring = replace(policy, boot_evidence=BootEvidence.IGNORE)
    assert Reason.UNUSED is verdict_on(cloudwatch, target, ignoring).reason


@pytest.mark.parametrize("age", [40 * DAY, 70 * DAY, MEMORY + 30 * DAY])
def test_a_proof_that_the_ledger_keeps_outlives_its_metrics(cloudwatch: CloudWatch, age: timedelta) -> None:
    """For this start and no other; nothing more is asked about it."""
    target = instance(launched_at=NOW - age)
    report(cloudwatch, target, NOW - 36 * DAY, NOW)
    proved = History(proved_start=target.launched_at)
    assert Reason.BOOT_NOT_OBSERVABLE is verdict_on(cloudwatch, target).reason
    cloudwatch.asked.clear()
    verdict = verdict_on(cloudwatch, target, history=proved)
    assert (Decision.ENFORCE, Reason.UNUSED) == (verdict.decision, verdict.reason)
    assert {3600, 86400, 604800} >= {each["MetricDataQueries"][0]["MetricStat"]["Period"] for each in cloudwatch.asked}
    another = History(proved_start=target.launched_at - timedelta(seconds=1))
    assert Reason.BOOT_NOT_OBSERVABLE is verdict_on(cloudwatch, target, history=another).reason


# --- Hibernation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_what_can_hibernate_proves_nothing_by_its_last_start(cloudwatch: CloudWatch, state: str) -> None:
    """A resume moves the time of the start, and no boot software runs at it."""
    stopped_at = NOW - HOUR if state == "stopped" else None
    target = started(cloudwatch, NOW - 4 * DAY, stopped_at or NOW, state=state, stopped_at=stopped_at, hibernates=True)
    seen = start_seen(cloudwatch, target)
    assert (False, True, 0) == (seen.observed, seen.resumable, seen.missing)
    verdict = verdict_on(cloudwatch, target)
    assert Reason.BOOT_NOT_OBSERVABLE is verdict.reason
    assert "hibernate" in verdict.explanation
    rebooted = History(mended_at=NOW - 3 * DAY)
    assert start_seen(cloudwatch, target, history=rebooted).resumable is False


def test_the_first_launch_is_no_resume(cloudwatch: CloudWatch) -> None:
    """An instance that was never stopped cannot have been resumed."""
    target = instance(launched_at=NOW - 20 * DAY, hibernates=True)
    report(cloudwatch, target, target.launched_at, NOW)
    assert start_seen(cloudwatch, target).observed


# --- Reboots that a person told of ---------------------------------------------------------------------------------


def monthly(cloudwatch: CloudWatch) -> Instance:
    """An instance that has not been started for longer than the metric's memory; its reboots made calls until lately."""
    target = instance(launched_at=NOW - 470 * DAY)
    report(cloudwatch, target, NOW - 450 * DAY, NOW)
    for days in range(45, 400, 30):
        call(cloudwatch, target, NOW - days * DAY, calls=6)
    return target


def test_a_reboot_that_nobody_tells_of_is_none(cloudwatch: CloudWatch) -> None:
    """Its launch time does not move, and its start stays forgotten; its calls come again, too."""
    target = monthly(cloudwatch)
    assert Reason.V1_RECURS is verdict_on(cloudwatch, target).reason
    quiet = instance(arn=arn(2), launched_at=NOW - 470 * DAY)
    report(cloudwatch, quiet, NOW - 450 * DAY, NOW)
    verdict = verdict_on(cloudwatch, quiet)
    assert Reason.BOOT_NOT_OBSERVABLE is verdict.reason
    assert '{"mended": {"targets": ["' in verdict.explanation


def test_with_the_reboot_its_evidence_begins_anew(cloudwatch: CloudWatch) -> None:
    """What it called before was its old software's; the hours that the policy wants are asked all the same."""
    target = monthly(cloudwatch)
    mended_at = at("2026-11-16 20:07")
    history = History(mended_at=mended_at)
    report_start(cloudwatch, target, mended_at, mended_at + 2 * HOUR)
    seen = look(cloudwatch, target, WIDE, history=history)
    assert seen.start is not None
    assert (mended_at, mended_at, True) == (seen.window_start, seen.start.at, seen.start.observed)
    assert Reason.UNUSED is verdict_on(cloudwatch, target, WIDE, history=history).reason
    verdict = verdict_on(cloudwatch, target, history=history)
    assert (Reason.TOO_YOUNG, at("2026-11-23 21:00")) == (verdict.reason, verdict.revisit_at)


def test_the_reboot_itself_is_evidence(cloudwatch: CloudWatch) -> None:
    """It must have been seen, and without a call."""
    target = monthly(cloudwatch)
    history = History(mended_at=at("2026-11-16 20:07"))
    assert Reason.BOOT_NOT_OBSERVABLE is verdict_on(cloudwatch, target, WIDE, history=history).reason
    report_start(cloudwatch, target, at("2026-11-16 20:07"), at("2026-11-16 22:07"))
    call(cloudwatch, target, at("2026-11-16 20:10"))
    assert Reason.V1_IN_USE is verdict_on(cloudwatch, target, WIDE, history=history).reason


@pytest.mark.parametrize(
    ("when", "calls"),
    [
        ("2026-11-16 20:15", 0),  # over before it
        ("2026-11-16 20:20", 4),  # CloudWatch does not tell it from the next
        ("2026-11-16 20:24", 4),  # up to 20:29
        ("2026-11-16 20:25", 4),
        ("2026-11-16 20:55", 4),
    ],
)
def test_of_the_hour_of_the_reboot_what_came_after_it_counts(cloudwatch: CloudWatch, when: str, calls: int) -> None:
    """By the five minutes that CloudWatch has: its old software's last calls lie in the same hour."""
    target = monthly(cloudwatch)
    history = History(mended_at=at("2026-11-16 20:27"))
    report_start(cloudwatch, target, at("2026-11-16 20:27"), at("2026-11-16 22:27"))
    call(cloudwatch, target, at(when), calls=4)
    seen = look(cloudwatch, target, WIDE, history=history)
    assert calls == seen.use.calls
    assert (Reason.V1_IN_USE if calls else Reason.UNUSED) is verdict_on(
        cloudwatch, target, WIDE, history=history
    ).reason


def test_a_start_after_the_word_is_the_last_start(cloudwatch: CloudWatch) -> None:
    """Whatever was told of before it."""
    target = started(cloudwatch, NOW - 3 * DAY)
    seen = look(cloudwatch, target, history=History(mended_at=NOW - 9 * DAY))
    assert seen.start is not None
    assert (NOW - 9 * DAY, NOW - 3 * DAY) == (seen.window_start, seen.start.at)


def test_what_stopped_before_it_is_said_to_have_been_mended_shows_nothing(cloudwatch: CloudWatch) -> None:
    """It has not run since; it is judged by what it does when it starts."""
    stopped_at = NOW - 5 * DAY
    target = started(cloudwatch, NOW - 20 * DAY, stopped_at, state="stopped", stopped_at=stopped_at)
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason
    mended = History(mended_at=NOW - 2 * DAY)
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target, history=mended).reason


def test_of_several_instances_each_has_its_own_start(cloudwatch: CloudWatch) -> None:
    """One call asks about starts that lie days apart; what belongs to one is not another's."""
    targets = [
        replace(started(cloudwatch, NOW - days * DAY), arn=arn(number))
        for number, days in enumerate((2, 38, 45, 61, 90), start=1)
    ]
    for target in targets:
        report(cloudwatch, target, NOW - 100 * DAY, NOW, [USE, RAN])
    call(cloudwatch, targets[2], NOW - 44 * DAY)
    call(cloudwatch, targets[3], NOW - 61 * DAY, calls=2)
    together = look_at_all(cloudwatch, targets, POLICY)
    assert [look(cloudwatch, each) for each in targets] == together
    assert [0, 0, 0, 2, 0] == [each.start.calls for each in together if each.start]


# --- Reboots that CloudTrail told of -------------------------------------------------------------------------------


def test_a_reboot_on_record_moves_the_start_and_not_the_window(cloudwatch: CloudWatch) -> None:
    """Of the calls before it, those in the window hold; a person's word would have settled them."""
    target = monthly(cloudwatch)
    rebooted_at = at("2026-11-16 20:07")
    report_start(cloudwatch, target, rebooted_at, rebooted_at + 2 * HOUR)
    history = History(rebooted_at=rebooted_at)
    seen = look(cloudwatch, target, history=history)
    assert seen.start is not None
    assert (NOW - 35 * DAY, rebooted_at, True) == (seen.window_start, seen.start.at, seen.start.observed)
    assert rebooted_at == seen.rebooted_at
    assert Reason.V1_RECURS is verdict_on(cloudwatch, target, history=history).reason
    call(cloudwatch, target, NOW - 20 * DAY)
    assert Reason.V1_IN_USE is verdict_on(cloudwatch, target, history=history).reason


def test_a_reboot_after_a_resume_ran_the_boot_software(cloudwatch: CloudWatch) -> None:
    """Whatever the last start was."""
    target = started(cloudwatch, NOW - 9 * DAY, hibernates=True)
    history = History(rebooted_at=NOW - 5 * DAY)
    assert Reason.BOOT_NOT_OBSERVABLE is verdict_on(cloudwatch, target).reason
    assert Reason.BOOT_NOT_OBSERVABLE is verdict_on(cloudwatch, target, history=history).reason
    report_start(cloudwatch, target, NOW - 5 * DAY, NOW - 5 * DAY + 2 * HOUR)
    assert Reason.UNUSED is verdict_on(cloudwatch, target, history=history).reason


def test_a_start_after_the_reboot_is_the_last_start(cloudwatch: CloudWatch) -> None:
    """It has to be seen itself."""
    target = started(cloudwatch, NOW - 3 * DAY)
    seen = look(cloudwatch, target, history=History(rebooted_at=NOW - 9 * DAY))
    assert seen.start is not None
    assert NOW - 3 * DAY == seen.start.at


def test_refused_calls_before_a_reboot_on_record_are_not_settled(cloudwatch: CloudWatch) -> None:
    """Nobody has said what they were."""
    target = started(cloudwatch, NOW - 20 * DAY)
    report_start(cloudwatch, target, NOW - 5 * DAY, NOW - 5 * DAY + 2 * HOUR)
    call(cloudwatch, target, NOW - 8 * DAY, metric=REFUSED)
    reasons = [
        verdict_on(cloudwatch, target, history=each).reason
        for each in (History(rebooted_at=NOW - 5 * DAY), History(mended_at=NOW - 5 * DAY))
    ]
    assert [Reason.V1_REFUSED, Reason.TOO_YOUNG] == reasons
