"""Refused calls are use: over the window, from the time on at which a person settled what came before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.line.evidence.gather import gather
from tests.unit.builders import NOW, arn, at, instance
from tests.unit.evidence_builders import (
    DAY,
    MINUTE,
    POLICY,
    REFUSED,
    call,
    hours,
    look,
    lose,
    report,
    report_start,
    verdict_on,
)
from tests.world.cloudwatch import HOUR, CloudWatch

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import Instance


def refuse(cloudwatch: CloudWatch, target: Instance, *times: datetime, calls: float = 1) -> None:
    """IMDSv1 calls that were refused."""
    call(cloudwatch, target, *times, metric=REFUSED, calls=calls)


# --- Without anybody's word ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric_goes_on", [True, False])
def test_what_was_refused_while_somebody_required_tokens_is_use(
    cloudwatch: CloudWatch, steady: Instance, metric_goes_on: bool
) -> None:
    """Two days of refused calls, up to the minute in which tokens became optional again."""
    begins = NOW - 2 * DAY
    for hour in hours(begins, NOW):
        refuse(cloudwatch, steady, hour, calls=250)
    if not metric_goes_on:
        lose(cloudwatch, steady, begins, NOW - DAY)
    verdict = verdict_on(cloudwatch, steady)
    assert (Decision.HOLD, Reason.V1_REFUSED) == (verdict.decision, verdict.reason)
    assert f"{250 * 49} IMDSv1 calls were refused" in verdict.explanation
    seen_required = History(required_seen_at=NOW - DAY)
    assert Reason.CHANGED_BACK is verdict_on(cloudwatch, steady, history=seen_required).reason


@pytest.mark.parametrize(
    ("when", "counts"),
    [
        ("2026-11-20 14:25", True),
        ("2026-10-30 00:00", True),
        ("2026-10-16 15:00", True),
        ("2026-10-16 01:00", True),  # on the day on which the window begins: days are not told apart
        ("2026-10-15 23:55", False),
    ],
)
def test_one_refused_call_in_the_window_holds(
    cloudwatch: CloudWatch, steady: Instance, when: str, counts: bool
) -> None:
    """By the day, which is enough to find use; the text says when the hold ends."""
    refuse(cloudwatch, steady, at(when))
    verdict = verdict_on(cloudwatch, steady)
    assert (Reason.V1_REFUSED if counts else Reason.UNUSED) is verdict.reason
    if counts:
        assert f"ends by itself on {(at(when) + 36 * DAY).date()}" in verdict.explanation


def test_it_ends_on_the_day_that_it_names(cloudwatch: CloudWatch, steady: Instance) -> None:
    """When the day of the last refused call has left the window."""
    refuse(cloudwatch, steady, at("2026-10-17 09:00"))
    assert "2026-11-22" in verdict_on(cloudwatch, steady).explanation
    for now, reason in ((at("2026-11-21 23:59"), Reason.V1_REFUSED), (at("2026-11-22 00:00"), Reason.UNUSED)):
        report(cloudwatch, steady, NOW, now)
        cloudwatch.now = lambda now=now: now  # type: ignore[misc]
        assert reason is verdict_on(cloudwatch, steady, now=now).reason


def test_a_stopped_instance_is_not_told_that_it_ends(cloudwatch: CloudWatch) -> None:
    """Its window does not move."""
    target = instance(state="stopped", launched_at=NOW - 60 * DAY, stopped_at=NOW - DAY)
    report(cloudwatch, target, target.launched_at, NOW - DAY)
    refuse(cloudwatch, target, NOW - 10 * DAY)
    verdict = verdict_on(cloudwatch, target)
    assert Reason.V1_REFUSED is verdict.reason
    assert "ends by itself" not in verdict.explanation


def test_refused_calls_of_a_neighbours_longer_window_are_none_of_its_own(cloudwatch: CloudWatch) -> None:
    """One call asks about both."""
    target, neighbour = (
        instance(),
        instance(arn=arn(2), state="stopped", launched_at=NOW - 200 * DAY, stopped_at=NOW - 80 * DAY),
    )
    report(cloudwatch, target, target.launched_at, NOW)
    report(cloudwatch, neighbour, neighbour.launched_at, NOW - 80 * DAY)
    refuse(cloudwatch, target, NOW - 60 * DAY)
    histories = {target.arn: History(), neighbour.arn: History()}
    together = gather(cloudwatch.client, [target, neighbour], histories, POLICY, NOW)
    assert 0 == together[target.arn].refused.calls
    assert together[target.arn] == look(cloudwatch, target)


# --- Since a person's word -----------------------------------------------------------------------------------------

ENFORCED_AT = at("2026-11-17 08:00")
PUT_BACK_AT = at("2026-11-17 12:12")
CLEARED_AT = at("2026-11-19 16:31")
CLEARED = History(enforced_at=ENFORCED_AT, confirmed=True, rolled_back_at=PUT_BACK_AT, cleared_at=CLEARED_AT)


@pytest.fixture
def broken(cloudwatch: CloudWatch, steady: Instance) -> Instance:
    """An instance that was put back after 90 refused calls: it published no accepted ones while tokens were required."""
    lose(cloudwatch, steady, at("2026-11-17 09:00"), at("2026-11-17 12:00"))
    refuse(cloudwatch, steady, at("2026-11-17 11:50"), at("2026-11-17 11:55"), calls=45)
    return steady


def test_what_was_put_back_is_held_until_it_is_cleared(cloudwatch: CloudWatch, broken: Instance) -> None:
    """Before and after: its refused calls alone would hold it, too."""
    before = replace(CLEARED, cleared_at=None)
    assert Reason.BROKE_BEFORE is verdict_on(cloudwatch, broken, history=before).reason
    assert Reason.V1_REFUSED is verdict_on(cloudwatch, broken).reason


def test_refused_calls_before_the_clearance_are_told_and_do_not_hold(cloudwatch: CloudWatch, broken: Instance) -> None:
    """A person has settled them."""
    seen = look(cloudwatch, broken, history=CLEARED).refused
    assert (0, 90, CLEARED_AT, None) == (seen.calls, seen.earlier, seen.since, seen.last)
    verdict = verdict_on(cloudwatch, broken, history=CLEARED)
    assert (Decision.ENFORCE, Reason.UNUSED) == (verdict.decision, verdict.reason)
    assert "90 IMDSv1 calls were refused before 2026-11-19 16:31 UTC" in verdict.explanation


@pytest.mark.parametrize(
    ("when", "counts"),
    [
        ("2026-11-19 03:00", False),
        ("2026-11-19 16:20", False),
        ("2026-11-19 16:25", False),
        ("2026-11-19 16:30", False),  # the clearance was given in these five minutes
        ("2026-11-19 16:35", True),
        ("2026-11-19 23:55", True),
        ("2026-11-20 00:00", True),
    ],
)
def test_on_the_day_of_the_clearance_those_after_it_count(
    cloudwatch: CloudWatch, steady: Instance, when: str, counts: bool
) -> None:
    """By five minutes; those in which it was given are settled by it."""
    refuse(cloudwatch, steady, at(when), calls=8)
    seen = look(cloudwatch, steady, history=CLEARED).refused
    assert ((8, 0) if counts else (0, 8)) == (seen.calls, seen.earlier)
    assert (Reason.V1_REFUSED if counts else Reason.UNUSED) is verdict_on(cloudwatch, steady, history=CLEARED).reason


def test_of_a_clearance_that_cloudwatch_has_only_hours_of_the_whole_day_counts(cloudwatch: CloudWatch) -> None:
    """What cannot be told apart counts."""
    policy = replace(POLICY, lookback_days=200)
    target = instance(launched_at=NOW - 300 * DAY)
    report(cloudwatch, target, target.launched_at, NOW)
    cleared_at = at("2026-08-05 12:00")
    refuse(cloudwatch, target, at("2026-08-05 02:00"), at("2026-08-04 23:00"), calls=3)
    seen = look(cloudwatch, target, policy, history=History(cleared_at=cleared_at)).refused
    assert (3, 3) == (seen.calls, seen.earlier)


def test_an_hour_with_refused_calls_is_no_quiet_hour_even_after_a_clearance(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """Somebody required tokens for two days; the metric of accepted calls went on at zero, and proves nothing there."""
    for hour in hours(at("2026-11-10 00:00"), at("2026-11-12 00:00")):
        refuse(cloudwatch, steady, hour, calls=2)
    cleared = History(cleared_at=CLEARED_AT)
    seen = look(cloudwatch, steady, history=cleared)
    assert (839 - 48, 48) == (seen.observed_hours, seen.gap.hours)
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, steady, history=cleared).reason


@pytest.mark.parametrize("when", ["2026-10-01 10:25", "2026-11-10 10:25"], ids=["before the window", "in the window"])
def test_a_start_with_refused_calls_is_not_observed_even_after_a_clearance(cloudwatch: CloudWatch, when: str) -> None:
    """Its boot software called, and was refused: after the clearance it has not been seen to start without a call."""
    launched_at = at(when) - 5 * MINUTE
    target = instance(launched_at=launched_at, first_launched_at=NOW - 100 * DAY)
    report(cloudwatch, target, NOW - 100 * DAY, NOW)
    refuse(cloudwatch, target, at(when), calls=7)
    uncleared = verdict_on(cloudwatch, target)
    assert uncleared.reason in {Reason.V1_AT_BOOT, Reason.V1_REFUSED}
    cleared = History(cleared_at=CLEARED_AT)
    seen = look(cloudwatch, target, history=cleared).start
    assert seen is not None
    assert (0, 1, False) == (seen.calls, seen.missing, seen.observed)
    assert Reason.BOOT_NOT_OBSERVABLE is verdict_on(cloudwatch, target, history=cleared).reason


@pytest.mark.parametrize(("calls", "reason"), [(0, Reason.UNUSED), (1, Reason.V1_REFUSED)])
def test_with_a_reboot_that_a_person_told_of_only_later_ones_count(
    cloudwatch: CloudWatch, broken: Instance, calls: int, reason: Reason
) -> None:
    """The window begins there, and so do they."""
    mended_at = at("2026-11-18 06:10")
    history = replace(CLEARED, cleared_at=None, rolled_back_at=None, enforced_at=None, mended_at=mended_at)
    report_start(cloudwatch, broken, mended_at, mended_at + 2 * HOUR)
    refuse(cloudwatch, broken, at("2026-11-18 05:00"), calls=30)
    if calls:
        refuse(cloudwatch, broken, at("2026-11-18 06:08"))
    policy = replace(POLICY, min_observed_hours=24)
    verdict = verdict_on(cloudwatch, broken, policy, history=history)
    assert reason is verdict.reason


def test_the_later_of_two_words_counts(cloudwatch: CloudWatch, steady: Instance) -> None:
    """Mended first and cleared later, or the other way round."""
    refuse(cloudwatch, steady, at("2026-11-15 12:00"))
    early, late = at("2026-11-14 00:00"), at("2026-11-16 00:00")
    for history in (History(cleared_at=late, mended_at=early), History(cleared_at=early, mended_at=late)):
        assert 0 == look(cloudwatch, steady, history=history).refused.calls
    assert 1 == look(cloudwatch, steady, history=History(cleared_at=early)).refused.calls


def test_what_was_settled_costs_two_looks_more_and_only_where_there_is_something(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """The hours of the refused calls, and the five minutes of the day of the clearance; the last look is at the start."""
    refuse(cloudwatch, steady, at("2026-11-18 12:00"), at("2026-11-19 03:00"))
    for history, expected in ((History(), [86400, 3600]), (CLEARED, [86400, 3600, 300, 3600])):
        cloudwatch.asked.clear()
        look(cloudwatch, steady, history=history)
        asked = [each["MetricDataQueries"][0]["MetricStat"]["Period"] for each in cloudwatch.calls_for(REFUSED)]
        assert expected == asked
