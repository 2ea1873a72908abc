"""The line while one item of the ledger cannot be written, and while quota puts changes off: each instance for itself, and the
cap counts changes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.request import Source
from imdsv2.ledger import transactions
from tests.integration.builders import asked
from tests.integration.guarding import watch_use
from tests.world.lossy import is_record_of
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Outcomes
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "pause", lambda _: None)


def run(cloud: Cloud, arns: Sequence[InstanceArn]) -> Outcomes:
    """One function instance, once."""
    return cloud.line().run([asked(each, Source.REVISIT) for each in arns], "request-1")


@pytest.mark.parametrize("code", ["TransactionConflict", "ValidationError"])
def test_one_that_cannot_be_written_ahead_is_not_changed_and_the_others_are(code: str, cloud: Cloud) -> None:
    """Others hold its item, or it is full; it is reported as failed, so that its message comes again."""
    arns = cloud.launch(count=4)
    refuse(cloud, arns[1], code)
    outcomes = run(cloud, arns)
    assert {arns[1]} == set(outcomes.failed)
    assert ["required", "optional", "required", "required"] == [cloud.tokens(each) for each in arns]
    assert {"enforced"} == {cloud.current(each)["status"] for each in arns if each != arns[1]}


def test_one_whose_last_record_cannot_be_written_leaves_no_other_unfinished(cloud: Cloud) -> None:
    """All four are changed; three are recorded as enforced, and the fourth is failed, not forgotten."""
    arns = cloud.launch(count=4)
    refuse(cloud, arns[1], "ThrottlingError", status="enforced")
    outcomes = run(cloud, arns)
    assert {arns[1]} == set(outcomes.failed)
    assert ["enforced", "enforcing", "enforced", "enforced"] == [cloud.current(each)["status"] for each in arns]


def refuse(cloud: Cloud, arn: InstanceArn, code: str, status: str = "") -> None:
    """DynamoDB refuses an instance's item, and thereby every transaction that has it."""

    def step(call: Call) -> None:
        actions = [next(iter(each.values())) for each in call.params["TransactItems"]]
        bad = [is_record_of(arn, each) and status in str(each) for each in actions]
        if any(bad):
            reasons = [{"Code": code if each else "None"} for each in bad]
            raise refusal("TransactionCanceledException", "no", call.operation, CancellationReasons=reasons)

    cloud.wire.on("TransactWriteItems", step)


def test_changes_that_quota_puts_off_count_from_when_they_were_made(cloud: Cloud) -> None:
    """Cap 3: room is reserved at minute 0, the changes follow at minute 4; three more are asked for at minute 61, and wait."""
    cloud.policy(mode="enforce", max_enforcements_per_hour=3)
    arns = cloud.launch(count=6)
    late = [True]

    def wait_for_quota(_: Call) -> None:
        if late:
            cloud.clock.move(minutes=late.pop() * 4)

    cloud.wire.on("CreateTags", wait_for_quota)
    began = cloud.clock()
    run(cloud, arns[:3])
    assert 3 == len(cloud.changes())
    cloud.clock.move(seconds=(began + timedelta(minutes=62) - cloud.clock()).total_seconds())
    for arn in arns[3:]:
        watch_use(cloud, arn, days=4)
    run(cloud, arns[3:])
    assert (3, {"cap_reached"}) == (len(cloud.changes()), {cloud.current(each)["reason"] for each in arns[3:]})
    cloud.clock.move(minutes=4)
    run(cloud, arns[3:])
    assert 6 == len(cloud.changes())
