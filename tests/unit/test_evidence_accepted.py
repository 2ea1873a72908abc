"""What a person accepts in spite of the evidence, and what still binds."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.history import Acceptance, History
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.domain.verdict_table.decision import decide
from tests.unit.builders import NOW, at, instance
from tests.unit.evidence_builders import (
    DAY,
    POLICY,
    RAN,
    REFUSED,
    USE,
    call,
    hours,
    look,
    lose,
    report,
    verdict_on,
)
from tests.world.cloudwatch import HOUR, CloudWatch

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.instance import Instance


def refuse(cloudwatch: CloudWatch, target: Instance, *times: datetime, calls: float = 1) -> None:
    """IMDSv1 calls that were refused."""
    call(cloudwatch, target, *times, metric=REFUSED, calls=calls)


# --- What a person accepts -----------------------------------------------------------------------------------------

ACCEPTED = History(
    acceptance=Acceptance(
        owner="carol",
        reason="The agent asks for v1 first, and then uses v2.",
        until=date(2026, 12, 4),
        by="carol",
        request_id="request-9",
        at=NOW - HOUR,
    )
)


def test_what_is_used_may_be_accepted(cloudwatch: CloudWatch, steady: Instance) -> None:
    """Under watch, with the name of who answers for it, and what is accepted."""
    for hour in hours(NOW - 10 * DAY, NOW):
        call(cloudwatch, steady, hour, calls=2)
    verdict = verdict_on(cloudwatch, steady, history=ACCEPTED)
    assert (Decision.ENFORCE, Reason.UNUSED) == (verdict.decision, verdict.reason)
    for words in ("carol accepts", "2026-12-04", "v1_in_use", "asks for v1 first"):
        assert words in verdict.explanation
    for now in (at("2026-12-04 23:59"), at("2026-12-05 00:00")):
        seen = look(cloudwatch, steady, history=ACCEPTED)
        decision = decide(steady, seen, ACCEPTED, POLICY, now).decision
        assert (Decision.ENFORCE if now < at("2026-12-05 00:00") else Decision.HOLD) is decision


def test_an_acceptance_of_what_is_used_does_not_hide_what_was_refused_or_not_seen(
    cloudwatch: CloudWatch, steady: Instance
) -> None:
    """Every other row still binds, though the window alone would have settled the verdict."""
    call(cloudwatch, steady, NOW - 3 * DAY)
    assert Decision.ENFORCE is verdict_on(cloudwatch, steady, history=ACCEPTED).decision
    refuse(cloudwatch, steady, NOW - 20 * DAY)
    assert Reason.V1_REFUSED is verdict_on(cloudwatch, steady, history=ACCEPTED).reason
    del cloudwatch.points[REFUSED, steady.arn.instance_id]
    lose(cloudwatch, steady, NOW - 8 * DAY, NOW - 6 * DAY, (USE, RAN))
    assert Reason.NO_EVIDENCE is verdict_on(cloudwatch, steady, history=ACCEPTED).reason


def test_hours_in_which_it_was_off_are_not_missing_where_use_is_accepted(cloudwatch: CloudWatch) -> None:
    """Whether it ran is asked about for it as for a quiet one."""
    target = instance(launched_at=NOW - 6 * DAY, first_launched_at=NOW - 60 * DAY)
    report(cloudwatch, target, NOW - 60 * DAY, NOW - 20 * DAY)
    report(cloudwatch, target, target.launched_at, NOW)
    call(cloudwatch, target, NOW - 2 * DAY)
    seen = look(cloudwatch, target, history=ACCEPTED)
    assert (1.0, 0) == (seen.coverage, seen.gap.hours)
    assert Decision.ENFORCE is verdict_on(cloudwatch, target, history=ACCEPTED).decision


@pytest.mark.parametrize("age", [timedelta(hours=30), timedelta(days=500)], ids=["young", "start forgotten"])
def test_youth_and_an_unseen_start_may_be_accepted(cloudwatch: CloudWatch, age: timedelta) -> None:
    """Rows 17 and 18."""
    target = instance(launched_at=NOW - age)
    report(cloudwatch, target, NOW - min(age, 400 * DAY), NOW)
    assert Decision.HOLD is verdict_on(cloudwatch, target).decision
    assert Decision.ENFORCE is verdict_on(cloudwatch, target, history=ACCEPTED).decision
