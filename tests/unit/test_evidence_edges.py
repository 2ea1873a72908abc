"""Evidence at the edges of hours, of what CloudWatch still has, and of what has to be asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.domain.verdict import Reason
from tests.unit.builders import NOW, at, instance
from tests.unit.evidence_builders import DAY, MINUTE, RAN, REFUSED, call, look, lose, report, started, verdict_on
from tests.world.cloudwatch import HOUR

if TYPE_CHECKING:
    from datetime import datetime

    from tests.world.cloudwatch import CloudWatch


@pytest.mark.parametrize(
    ("launched_at", "counts"),
    [
        (at("2026-09-02 08:00:05"), True),
        (at("2026-09-02 08:03:40"), True),
        (at("2026-09-02 08:06:10"), False),
        (at("2026-09-02 08:50:00"), False),
    ],
)
def test_a_call_in_the_minute_of_an_old_start_may_stand_in_the_hour_before(
    cloudwatch: CloudWatch, launched_at: datetime, counts: bool
) -> None:
    """Its datapoint began up to five minutes before; CloudWatch has only hours of that time."""
    target = started(cloudwatch, launched_at)
    call(cloudwatch, target, at("2026-09-02 07:57"), calls=2)
    expected = Reason.V1_AT_BOOT if counts else Reason.UNUSED
    assert expected is verdict_on(cloudwatch, target).reason


def test_an_hour_with_refused_calls_is_one_in_which_it_ran(cloudwatch: CloudWatch) -> None:
    """They are settled, and it was not quiet: whatever its processor reported, it was there, and its silence is not known."""
    target = instance(launched_at=NOW - 2 * DAY, first_launched_at=NOW - 60 * DAY)
    report(cloudwatch, target, NOW - 60 * DAY, NOW)
    begin, end = NOW - 20 * DAY, NOW - 15 * DAY
    lose(cloudwatch, target, begin, end, (RAN,))
    for number in range(int((end - begin) / HOUR)):
        call(cloudwatch, target, begin + number * HOUR, metric=REFUSED)
    history = History(cleared_at=NOW - 3 * DAY)
    seen = look(cloudwatch, target, history=history)
    assert 120 <= seen.gap.hours <= 121
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, target, history=history).reason


@pytest.mark.parametrize("min_coverage", [0.1, 0.5, 0.9])
def test_starts_stand_for_hours_however_little_of_the_time_has_to_be_covered(
    cloudwatch: CloudWatch, min_coverage: float
) -> None:
    """It runs for ten hours each day, which is enough coverage for who asks for little: whether it ran at night is asked all the same."""
    target = instance(launched_at=NOW - timedelta(hours=6), first_launched_at=NOW - 90 * DAY)
    for days in range(91):
        begin = target.launched_at - days * DAY
        report(cloudwatch, target, begin, min(begin + 10 * HOUR, NOW))
    policy = Policy(min_observed_hours=600, min_coverage=min_coverage)
    assert look(cloudwatch, target, policy).clean_starts > 30
    assert Reason.UNUSED is verdict_on(cloudwatch, target, policy).reason


def test_a_start_before_the_window_is_none_of_its_starts(cloudwatch: CloudWatch) -> None:
    """It has been seen, and stands for no hours of the window."""
    target = started(cloudwatch, NOW - 50 * DAY)
    lose(cloudwatch, target, NOW - 34 * DAY, NOW - 30 * DAY)
    seen = look(cloudwatch, target)
    assert seen.start is not None
    assert (True, 0) == (seen.start.observed, seen.clean_starts)
    later = started(cloudwatch, NOW - 30 * DAY + 20 * MINUTE)
    assert 1 == look(cloudwatch, later).clean_starts
