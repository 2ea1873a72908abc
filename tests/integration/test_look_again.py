"""What comes between the evidence and the call to EC2: people, gates, time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws.pacing import Pacing
from imdsv2.domain.instance import Place
from imdsv2.domain.request import Source
from imdsv2.line.gate import Gates
from imdsv2.line.look_again import GOOD_FOR
from tests.integration.builders import HUB, PARAMETER, asked, count_broken
from tests.integration.guarding import ENFORCED_TAG, guard, reject

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Judgement, Outcomes
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud


def run(cloud: Cloud, *arns: InstanceArn, pacing: Pacing | None = None) -> Outcomes:
    """One function instance, once."""
    outcomes = cloud.function(pacing).line.run([asked(arn, Source.CONFIG) for arn in arns], "request-1")
    assert {} == outcomes.failed
    return outcomes


def while_tagging(cloud: Cloud, step: Callable[[], Any]) -> None:
    """Something happens once, after an instance was judged and written down, while the quota of CreateTags is waited for."""
    left = [step]

    def then(_: Call) -> None:
        if left:
            left.pop()()

    cloud.wire.on("CreateTags", then)


BETWEEN: dict[str, tuple[Callable[[Cloud, InstanceArn], Any], tuple[str, str]]] = {
    "exempt": (lambda cloud, arn: cloud.tag(arn, **{"imdsv2_exempt-until": "2099-12-31"}), ("skipped", "exempt")),
    "required by a person": (
        lambda cloud, arn: cloud.set_options(arn, http_tokens="required"),
        ("skipped", "already_required"),
    ),
    "endpoint closed": (
        lambda cloud, arn: cloud.set_options(arn, http_endpoint="disabled"),
        ("skipped", "endpoint_disabled"),
    ),
    "hop limit raised": (
        lambda cloud, arn: cloud.set_options(arn, http_put_response_hop_limit="2"),
        ("held", "not_ready"),
    ),
    "started anew": (
        lambda cloud, arn: setattr(cloud.instance(arn), "launch_time", cloud.clock()),
        ("held", "not_ready"),
    ),
    "terminated": (lambda cloud, arn: setattr(cloud.instance(arn)._state, "name", "terminated"), ("skipped", "gone")),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_what_people_did_meanwhile_is_seen_and_respected(what: str, cloud: Cloud) -> None:
    """The others of the batch are changed; this one is not, and bears no tag of the service."""
    arn, other = cloud.launch(count=2)
    before = {"exempt": {"imdsv2:exempt-until": "2099-12-31"}}.get(what, {})
    step, expected = BETWEEN[what]
    while_tagging(cloud, lambda: step(cloud, arn))
    run(cloud, arn, other)
    assert expected == (cloud.current(arn)["status"], cloud.current(arn)["reason"])
    assert [other.instance_id] == [each["InstanceId"] for each in cloud.changes()]
    assert what == "terminated" or before == cloud.tags(arn)
    assert "watch" not in cloud.current(arn)


def test_what_a_person_required_meanwhile_is_never_opened_by_the_guard(cloud: Cloud) -> None:
    """It is not the service's, whatever is refused there."""
    arn = cloud.one()
    while_tagging(cloud, lambda: cloud.set_options(arn, http_tokens="required"))
    run(cloud, arn)
    cloud.clock.move(minutes=10)
    reject(cloud, arn, 40)
    guard(cloud)
    assert "required" == cloud.tokens(arn)


def moves_the_clock(cloud: Cloud, seconds: float) -> None:
    """Each change takes that long."""
    cloud.wire.on("ModifyInstanceMetadataOptions", lambda _: cloud.clock.move(seconds=seconds))


@pytest.mark.parametrize("seconds", [1, 20])
def test_a_gate_that_closes_within_a_batch_stops_the_rest(
    seconds: int, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again as soon as the last look has become too old, however long the whole batch takes."""
    monkeypatch.setattr("imdsv2.line.enforce._CALLS_AT_ONCE", 1)
    arns = cloud.launch(count=40)
    moves_the_clock(cloud, seconds)

    def break_down(_: Call) -> None:
        if len(cloud.changes()) == 1:
            count_broken(cloud.accounts(), f"aws/{arns[0].account}", 5, 5, cloud.clock())

    cloud.wire.on("ModifyInstanceMetadataOptions", break_down)
    run(cloud, *arns)
    assert len(cloud.changes()) <= GOOD_FOR / timedelta(seconds=seconds) + 2
    reasons = {cloud.current(arn)["reason"] for arn in arns if cloud.tokens(arn) == "optional"}
    assert {"breaker_open"} == reasons


def test_the_look_is_at_most_fifteen_seconds_old_at_every_change(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one look serves all the instances whose turn comes in that time. The first two are at them, and at their cohort."""
    monkeypatch.setattr("imdsv2.line.enforce._CALLS_AT_ONCE", 1)
    arns = cloud.launch(count=30)
    looked, ages = [cloud.clock()], []

    def look(_: Call) -> None:
        looked.append(cloud.clock())

    def change(_: Call) -> None:
        ages.append(cloud.clock() - looked[-1])
        cloud.clock.move(seconds=3)

    cloud.wire.on("DescribeInstances", look)
    cloud.wire.on("ModifyInstanceMetadataOptions", change)
    run(cloud, *arns)
    assert 30 == len(ages)
    assert max(ages) <= timedelta(seconds=15)
    assert len(looked) <= 30 * 3 / GOOD_FOR.total_seconds() + 5


def test_switching_off_stops_what_waits_for_its_quota(cloud: Cloud) -> None:
    """The policy is asked after the wait, not before it."""
    arns = cloud.launch(count=3)
    waits = []

    def wait(seconds: float) -> None:
        if seconds:
            waits.append(seconds)
            cloud.as_account(HUB, "ssm").put_parameter(
                Name=PARAMETER, Value='{"mode": "off"}', Type="String", Overwrite=True
            )
            cloud.clock.move(seconds=max(seconds, 6))

    pacing = Pacing(share=1.0, clock=lambda: 0.0, chance=lambda: 0.0)
    place = Place(arns[0].partition, arns[0].region, arns[0].account)
    for _ in range(100):
        pacing.reserve(place, "ModifyInstanceMetadataOptions")
    function = cloud.function(pacing)
    function.clients._sleep = wait
    function.line.run([asked(arn, Source.CONFIG) for arn in arns], "request-1")
    assert waits
    assert [] == cloud.changes()
    assert {"switched_off"} == {cloud.current(arn)["reason"] for arn in arns}


def test_nothing_is_begun_without_the_time_to_record_it(cloud: Cloud) -> None:
    """However slow each call is: what was not begun waits in the ledger, untouched and untagged."""
    arns = cloud.launch(count=40)
    pacing = Pacing(share=1.0, clock=lambda: cloud.clock().timestamp(), chance=lambda: 0.0)
    pacing.end_in(60)
    moves_the_clock(cloud, 29)
    run(cloud, *arns, pacing=pacing)
    changed = {each["InstanceId"] for each in cloud.changes()}
    assert 0 < len(changed) < 40
    for arn in arns:
        current = cloud.current(arn)
        if arn.instance_id in changed:
            assert ("enforced", "open") == (current["status"], current["watch"])
        else:
            assert ("held", "not_ready") == (current["status"], current["reason"])
            assert ENFORCED_TAG not in cloud.tags(arn)


def test_a_look_that_fails_changes_nothing(cloud: Cloud) -> None:
    """Held for a quarter of an hour, without our tag; the next run does it."""
    arns = cloud.launch(count=3)
    cloud.wire.refuse("DescribeInstances", "RequestLimitExceeded", when=lambda _: bool(cloud.wire.made("CreateTags")))
    run(cloud, *arns)
    assert [] == cloud.changes()
    assert {("held", "not_ready")} == {(cloud.current(arn)["status"], cloud.current(arn)["reason"]) for arn in arns}
    assert [{}] * 3 == [cloud.tags(arn) for arn in arns]
    cloud.clock.move(minutes=16)
    cloud.wire._steps["DescribeInstances"].clear()
    run(cloud, *arns)
    assert ["required"] * 3 == [cloud.tokens(arn) for arn in arns]


def slow_policy(monkeypatch: pytest.MonkeyPatch, cloud: Cloud, step: Callable[[], None]) -> None:
    """Something happens once, while the policy is asked between the look and the call; the look has asked for it before."""
    asked_before, ask = [0], Gates.ask_policy

    def slow(gates: Gates, judgement: Judgement, **how: Any) -> Judgement | None:
        asked_before[0] += bool(cloud.wire.made("CreateTags"))
        if asked_before[0] == 2:
            step()
        return ask(gates, judgement, **how)

    monkeypatch.setattr(Gates, "ask_policy", slow)


@pytest.mark.parametrize("seconds", [4, 75])
def test_a_policy_that_is_slow_to_come_leaves_nothing_to_an_old_look(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Systems Manager hangs between the look and the call, or the function stands still; meanwhile a person exempts the instance."""
    arn = cloud.one()

    def meanwhile() -> None:
        cloud.clock.move(seconds=seconds)
        cloud.tag(arn, **{"imdsv2:exempt-until": "2099-12-31"})

    slow_policy(monkeypatch, cloud, meanwhile)
    run(cloud, arn)
    assert ([], "optional") == (cloud.changes(), cloud.tokens(arn))
    assert ("held", "not_ready") == (cloud.current(arn)["status"], cloud.current(arn)["reason"])
    assert ENFORCED_TAG not in cloud.tags(arn)
    cloud.clock.move(minutes=16)
    run(cloud, arn)
    assert "exempt" == cloud.current(arn)["reason"]


def test_a_pause_of_a_moment_before_the_call_holds_nothing_up(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look is good for 12 seconds, and for three more until EC2 is asked."""
    arn = cloud.one()
    slow_policy(monkeypatch, cloud, lambda: cloud.clock.move(seconds=2.5))
    run(cloud, arn)
    assert "required" == cloud.tokens(arn)
