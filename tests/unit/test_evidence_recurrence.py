"""Use before the window: whether it comes again, and until when that holds."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.domain.history import History
from imdsv2.domain.verdict import Decision, Reason
from tests.unit.builders import NOW, arn, at, instance
from tests.unit.evidence_builders import DAY, call, look, look_at_all, report, report_start, verdict_on
from tests.world.cloudwatch import HOUR, CloudWatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.domain.evidence.values import Recurrence
    from imdsv2.domain.instance import Instance

WEEK = 7 * DAY


def aged(cloudwatch: CloudWatch, days_ago: Iterable[int], life: int = 430, number: int = 1) -> Instance:
    """An instance that was launched long ago, started last month, and called on some days before the window."""
    target = instance(arn=arn(number), launched_at=NOW - 30 * DAY, first_launched_at=NOW - life * DAY)
    report(cloudwatch, target, NOW - 36 * DAY, NOW)
    call(cloudwatch, target, *(NOW - days * DAY for days in days_ago), calls=3)
    return target


def older(cloudwatch: CloudWatch, days_ago: Iterable[int], number: int = 1) -> Recurrence:
    """What was seen of the time before the window."""
    return look(cloudwatch, aged(cloudwatch, days_ago, number=number)).older


@pytest.mark.parametrize(
    "days_ago",
    [
        [44, 134, 226, 317],  # by the quarter
        [40, 70, 100, 130],  # by the month
        [120, 300],
        [50, 51, 52, 200, 201],
        [64, 92, 120],
    ],
)
def test_use_that_comes_again_holds(cloudwatch: CloudWatch, days_ago: list[int]) -> None:
    """Until the silence has been twice as long as the longest before, on a day that the text gives."""
    target = aged(cloudwatch, days_ago)
    seen = look(cloudwatch, target).older
    verdict = verdict_on(cloudwatch, target)
    assert (Decision.HOLD, Reason.V1_RECURS) == (verdict.decision, verdict.reason)
    assert 3 * len(days_ago) == seen.calls
    assert seen.ends_at is not None
    for words in (f"{seen.calls} IMDSv1 calls", f"{seen.bursts} bursts", seen.ends_at.date().isoformat(), '"mended"'):
        assert words in verdict.explanation
    assert NOW + DAY == verdict.revisit_at


@pytest.mark.parametrize(
    "days_ago",
    [
        [185],
        [185, 186, 187],
        [400],
        [100, 104, 110, 116],  # a month in which each week had calls
        [36],
    ],
)
def test_one_burst_is_told_and_does_not_hold(cloudwatch: CloudWatch, days_ago: list[int]) -> None:
    """However many weeks it lasted: it never came again."""
    target = aged(cloudwatch, days_ago)
    verdict = verdict_on(cloudwatch, target)
    assert (Decision.ENFORCE, Reason.UNUSED) == (verdict.decision, verdict.reason)
    assert f"Before that there were {3 * len(days_ago)} IMDSv1 calls" in verdict.explanation
    assert 1 == look(cloudwatch, target).older.bursts


@pytest.mark.parametrize("days_ago", [[400, 370, 340], [150, 171, 192], [250, 300]])
def test_a_silence_that_is_long_enough_ends_it(cloudwatch: CloudWatch, days_ago: list[int]) -> None:
    """More than twice the longest before."""
    target = aged(cloudwatch, days_ago)
    seen = look(cloudwatch, target).older
    assert seen.bursts == len(days_ago)
    assert seen.ends_at is not None
    assert seen.ends_at <= NOW
    assert Reason.UNUSED is verdict_on(cloudwatch, target).reason


@given(st.lists(st.integers(38, 420), min_size=2, max_size=6, unique=True))
def test_it_never_ends_before_twice_the_longest_silence(days_ago: list[int]) -> None:
    """Weeks make it late, by five of them at most, and never early: each call is known to its week only."""
    seen = older(CloudWatch(lambda: NOW), days_ago)
    assert seen.last is not None
    assert timedelta() <= (NOW - min(days_ago) * DAY) - seen.last < WEEK
    calls = sorted(days_ago, reverse=True)
    silences = [earlier - later for earlier, later in pairwise(calls)]
    longest = max(silences)
    due = NOW - min(days_ago) * DAY + 2 * longest * DAY
    if seen.ends_at is None:
        assert 1 == seen.bursts
        assert longest <= 13  # two weeks that follow each other
    elif longest > 13:
        assert due - DAY <= seen.ends_at <= due + 5 * WEEK


@settings(max_examples=40)
@given(st.lists(st.integers(38, 420), min_size=1, max_size=5, unique=True), st.integers(0, 3000))
def test_company_does_not_move_the_weeks(days_ago: list[int], hours: int) -> None:
    """Whoever else is asked about in the same call, and from when on."""
    cloudwatch = CloudWatch(lambda: NOW)
    target = aged(cloudwatch, days_ago)
    other = instance(arn=arn(2), launched_at=NOW - 30 * DAY, first_launched_at=NOW - 430 * DAY + hours * HOUR)
    report(cloudwatch, other, NOW - 36 * DAY, NOW)
    assert look(cloudwatch, target) == look_at_all(cloudwatch, [target, other])[0]


def test_a_person_who_says_that_it_was_mended_ends_it(cloudwatch: CloudWatch) -> None:
    """Older use was that of its old software; what comes after the word counts from then on."""
    target = aged(cloudwatch, [300, 210, 120, 50])
    mended_at = at("2026-10-10 09:00")
    report_start(cloudwatch, target, mended_at, mended_at + 2 * HOUR)
    verdict = verdict_on(cloudwatch, target, history=History(mended_at=mended_at))
    assert Reason.UNUSED is verdict.reason
    assert "Before that" not in verdict.explanation


def test_older_use_is_not_asked_for_where_it_cannot_matter(cloudwatch: CloudWatch, steady: Instance) -> None:
    """Not if the window already holds the instance, and not if there is no older time."""
    young = instance(arn=arn(2), launched_at=NOW - 20 * DAY)
    report(cloudwatch, young, young.launched_at, NOW)
    call(cloudwatch, steady, NOW - DAY)
    look_at_all(cloudwatch, [steady, young])
    asked = {query["MetricStat"]["Period"] for each in cloudwatch.asked for query in each["MetricDataQueries"]}
    assert {300, 3600, 86400} == asked
