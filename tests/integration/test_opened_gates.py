"""Gates that a person opens: what waited for them is due at once, though it would be judged daily."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.request import Source
from imdsv2.ledger.items import to_text
from imdsv2.sweep.run import go_through
from imdsv2.sweep.tally import Tally
from imdsv2.wiring.revisit import build_policy_change
from tests.fixtures.events import finding
from tests.integration.builders import MEMBER, OTHER, REGION, asked, count_broken
from tests.integration.guarding import enforced, guard, live, reject
from tests.integration.steering import due, judge, named, reason, steer

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

DAY = timedelta(days=1)
OTHERS = {"aws:ec2launchtemplate:id": "lt-0e5f"}
"""What launched those that run other software."""
JITTER = timedelta(minutes=11)


def waits_for_a_day(cloud: Cloud, arn: InstanceArn) -> bool:
    """Whether it is due daily."""
    wait = datetime.fromisoformat(cloud.current(arn)["revisit_at"]) - cloud.clock()
    return DAY - JITTER <= wait <= DAY + JITTER


def judge_all(cloud: Cloud, arns: list[InstanceArn]) -> None:
    """Evaluate each."""
    for arn in arns:
        judge(cloud, arn)


def test_closing_a_breaker_makes_due_what_it_held_in_that_account(cloud: Cloud) -> None:
    """What is held for another reason has its own turn, and so has another account."""
    for account in (MEMBER, OTHER):
        count_broken(cloud.accounts(), f"aws/{account}", 3, 3, cloud.clock())
    here, there, used = cloud.one(), cloud.one(account=OTHER), cloud.one(use=2.0, tags=OTHERS)
    judge_all(cloud, [here, there, used])
    assert [True] * 3 == [waits_for_a_day(cloud, each) for each in (here, there, used)]
    steer(cloud, close_breaker={"account": MEMBER}, dry_run=True)
    assert set() == due(cloud)
    steer(cloud, close_breaker={"account": MEMBER}, caller="alice")
    assert {here} == due(cloud)


@pytest.mark.parametrize("operation", ["Query", "BatchGetItem"])
def test_a_breaker_is_closed_though_nothing_can_be_made_due(cloud: Cloud, operation: str) -> None:
    """The next day judges it all the same."""
    count_broken(cloud.accounts(), f"aws/{MEMBER}", 3, 3, cloud.clock())
    arn = cloud.one()
    judge(cloud, arn)
    cloud.wire.refuse(operation, "ThrottlingException")
    (result,) = steer(cloud, close_breaker={"account": MEMBER}, caller="alice")
    assert result["done"]
    assert cloud.accounts().of(arn).breaker_opened_at is None


def test_clearing_what_broke_makes_due_what_runs_the_same_software(cloud: Cloud) -> None:
    """It waited for exactly that."""
    broken = enforced(cloud)
    live(cloud, broken, hours=1)
    reject(cloud, broken)
    assert 1 == guard(cloud, after=6).rolled_back
    cloud.policy(mode="enforce", canary={"share": 0.5, "hours": 24})
    waiting = cloud.one()
    assert "canary_wait" == reason(cloud, waiting)
    assert waits_for_a_day(cloud, waiting)
    steer(cloud, clear=named(broken), caller="alice", reason="Fixed in 4.1.")
    assert {broken, waiting} <= due(cloud)


def test_mending_what_used_it_makes_due_what_runs_the_same_software(cloud: Cloud) -> None:
    """What another uses holds it, and a person's word about that other one ends this."""
    cloud.policy(mode="enforce")
    used, waiting, elsewhere = cloud.one(use=5.0), cloud.one(), cloud.one(tags=OTHERS)
    judge_all(cloud, [used, waiting, elsewhere])
    assert ("v1_in_use", "cohort_uses_v1", "unused") == tuple(
        cloud.current(each)["reason"] for each in (used, waiting, elsewhere)
    )
    at = cloud.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    steer(cloud, mended=named(used), at=at, dry_run=True)
    assert set() == due(cloud)
    steer(cloud, mended=named(used), at=at, caller="alice")
    assert {used, waiting} == due(cloud)
    assert "cohort_uses_v1" != reason(cloud, waiting)


def test_an_approval_is_waited_for_by_the_day_and_makes_due(cloud: Cloud) -> None:
    """Nothing but a person's word can change the verdict."""
    cloud.policy(mode="enforce", approval="required")
    arn = cloud.one()
    assert "approval_required" == reason(cloud, arn)
    assert waits_for_a_day(cloud, arn)
    steer(cloud, approve=named(arn), caller="alice")
    assert {arn} == due(cloud)


def test_a_finding_that_is_no_longer_suppressed_is_no_echo(cloud: Cloud) -> None:
    """Security Hub sends it anew when somebody sets it back to NEW, with the time of its last update unchanged."""
    arn = cloud.one()
    failed = finding(str(arn))
    cloud.hub.holds(failed, workflow="SUPPRESSED")
    request = asked(arn, Source.SECURITYHUB, finding=failed)
    assert "suppressed" == cloud.line().run([request], "request-1").judged[arn].verdict.reason
    assert waits_for_a_day(cloud, arn)
    cloud.hub.holds(failed, workflow="NEW")
    assert "unused" == cloud.line().run([request], "request-2").judged[arn].verdict.reason
    assert "required" == cloud.tokens(arn)
    assert {arn} == cloud.line().run([request], "request-3").echoes


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_the_revisit_function_judges_what_a_new_policy_concerns(cloud: Cloud, mode: str) -> None:
    """Observed for a day, then switched on: two minutes later it is due."""
    cloud.policy(mode="observe")
    build_policy_change(cloud.function()).make_due(lambda: True)
    arn = cloud.one()
    judge(cloud, arn)
    assert ("would_enforce", True) == (cloud.current(arn)["status"], waits_for_a_day(cloud, arn))
    cloud.clock.move(hours=3)
    cloud.policy(mode=mode)
    for _ in range(2):
        cloud.clock.move(minutes=1)
        build_policy_change(cloud.function()).make_due(lambda: True)
    assert ({arn} if mode == "enforce" else set()) == due(cloud)


def swept(cloud: Cloud, **tally: Any) -> dict[str, Any]:
    """The tally of a sweep of the account and Region."""
    service = cloud.function()
    begun = Tally.from_document({"account": MEMBER, "region": REGION, **tally})
    return go_through(service.line, service.clients, begun, "sweep", dry_run=False, has_time=lambda: True).document()


def test_the_nightly_sweep_spares_what_was_judged_in_the_hours_before(cloud: Cloud) -> None:
    """It is due again without it, and counted with the verdict that it has."""
    cloud.policy(mode="observe")
    lately, long_ago, never = cloud.one(), cloud.one(use=3.0, tags=OTHERS), cloud.one()
    judge(cloud, long_ago)
    cloud.quiet(lately, 15)
    judge(cloud, lately)
    cloud.clock.move(hours=6)
    before = cloud.current(lately)["decided_at"]
    tally = swept(cloud, spare_hours=20)
    assert (3, {"unused": 1, "v1_in_use": 1, "no_evidence": 1}) == (tally["imdsv1_allowed"], tally["by_verdict"])
    assert before == cloud.current(lately)["decided_at"]
    assert all(cloud.current(each)["decided_at"] > before for each in (long_ago, never))
    assert 20 == tally["spare_hours"]


def test_a_sweep_by_hand_judges_everything(cloud: Cloud) -> None:
    """Whoever starts it wants to know."""
    cloud.policy(mode="observe")
    arn = cloud.one()
    judge(cloud, arn)
    cloud.clock.move(minutes=5)
    before = cloud.current(arn)["decided_at"]
    assert "spare_hours" not in swept(cloud)
    assert cloud.current(arn)["decided_at"] > before


def test_what_waits_for_a_retry_is_not_spared(cloud: Cloud) -> None:
    """Only what waits with a verdict, and is judged again by itself."""
    arn = cloud.one()
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "SomethingElse", when=lambda call: not call.params.get("DryRun"))
    judge(cloud, arn)
    assert "failed" == cloud.current(arn)["status"]
    assert {} == cloud.line().judged_since(cloud.clock() - DAY, [arn])


def before_it_is_written(cloud: Cloud, act: Callable[[], Any]) -> None:
    """Once, a person does something when a function has judged and is about to write."""
    left = [act]

    def step(_: Call) -> None:
        if left:
            left.pop()()

    cloud.wire.on("TransactWriteItems", step)


def test_a_breaker_that_is_closed_while_an_instance_is_judged_does_not_hold_it_for_a_day(cloud: Cloud) -> None:
    """The verdict was made before, and written after it was made due: it would have taken that back."""
    count_broken(cloud.accounts(), f"aws/{MEMBER}", 3, 3, cloud.clock())
    arn = cloud.one()
    judge(cloud, arn)
    cloud.clock.move(hours=2)
    before_it_is_written(cloud, lambda: steer(cloud, close_breaker={"account": MEMBER}, caller="alice"))
    assert "unused" == judge(cloud, arn).verdict.reason
    assert "required" == cloud.tokens(arn)


@pytest.mark.parametrize("later", [timedelta(), timedelta(minutes=6), timedelta(minutes=59), timedelta(hours=20)])
def test_what_is_made_due_stays_due_though_an_older_verdict_is_written_after_that(
    cloud: Cloud, later: timedelta
) -> None:
    """Somebody has switched the service on; the function that judges has still read the policy before. Of many, what the policy concerns is
    spread over an hour; a new instance of a proved cohort is due when its start has been seen."""
    cloud.policy(mode="off")
    arn = cloud.one()
    judge(cloud, arn)
    cloud.clock.move(hours=2)

    def switched_on() -> None:
        cloud.policy(mode="enforce")
        cloud.clock.move(seconds=20)
        known = cloud.ledger().read([arn])[arn]
        assert [arn] == cloud.ledger().claim({arn: to_text(known.revisit_at or cloud.clock())}, cloud.clock() + later)

    before_it_is_written(cloud, switched_on)
    assert "unused" == judge(cloud, arn).verdict.reason


@pytest.mark.parametrize("later", [timedelta(minutes=16), DAY])
def test_a_verdict_is_written_though_another_function_has_claimed_the_instance(cloud: Cloud, later: timedelta) -> None:
    """The nightly sweep and the revisits meet each night: who claims makes nothing due."""
    arn = cloud.one(use=3.0)
    judge(cloud, arn)
    cloud.clock.move(hours=23)
    calls = len(cloud.wire.made("GetMetricData"))

    def claim() -> None:
        known = cloud.ledger().read([arn])[arn]
        cloud.ledger().claim({arn: to_text(known.revisit_at or cloud.clock())}, cloud.clock() + later)

    before_it_is_written(cloud, claim)
    judge(cloud, arn)
    assert waits_for_a_day(cloud, arn)
    once = len(cloud.wire.made("GetMetricData")) - calls
    judge(cloud, arn)
    assert len(cloud.wire.made("GetMetricData")) - calls - once <= once, "it was judged once"
