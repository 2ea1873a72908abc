"""Changes in doubt: the answer was lost, the look was stale, the function died. What may be ours is watched until it is known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from imdsv2.domain.request import Source
from tests.integration.builders import LEASE, REFUSED_WITHOUT_ENDPOINT, asked
from tests.integration.guarding import ENFORCED_TAG, Died, guard, live, reject, restart
from tests.integration.steering import reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

MODIFY = "ModifyInstanceMetadataOptions"


def run(cloud: Cloud, *arns: InstanceArn, source: Source = Source.CONFIG) -> None:
    """One function instance, once."""
    assert {} == cloud.line().run([asked(arn, source) for arn in arns], "request-1").failed


def stale_after_the_change(cloud: Cloud, arn: InstanceArn, seconds: float) -> None:
    """For that long after tokens were required, EC2 shows the tokens as they were before it."""
    shown: dict[str, Any] = {}

    def remember(call: Call) -> None:
        if call.params["HttpTokens"] == "required":
            shown.update(until=cloud.clock() + timedelta(seconds=seconds), tokens=cloud.tokens(arn))

    def answer(call: Call) -> dict[str, Any] | None:
        if "until" not in shown or cloud.clock() >= shown["until"]:
            return None
        page = cloud.as_account(call.account, "ec2", call.region).describe_instances(**call.params)
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                instance["MetadataOptions"]["HttpTokens"] = shown["tokens"]
        return {"Reservations": page["Reservations"]}

    cloud.wire.on(MODIFY, remember)
    cloud.wire.on("DescribeInstances", answer)


def test_what_ec2_took_and_does_not_show_yet_is_watched_and_put_back_if_it_breaks(cloud: Cloud) -> None:
    """The first description after the call is a minute behind."""
    arn = cloud.one()
    stale_after_the_change(cloud, arn, 60)
    run(cloud, arn)
    current = cloud.current(arn)
    assert ("enforced", True, "open") == (current["status"], current["confirmed"], current["watch"])
    cloud.clock.move(minutes=5)
    reject(cloud, arn, 25)
    guard(cloud, after=10)
    assert ("rolled_back", "optional") == (cloud.current(arn)["status"], cloud.tokens(arn))


def test_a_pass_of_the_guard_that_sees_the_old_options_lets_nothing_go(cloud: Cloud) -> None:
    """Nor does an event that is judged in that moment."""
    arn = cloud.one()
    stale_after_the_change(cloud, arn, 90)
    run(cloud, arn)
    guard(cloud, after=1)
    assert "not_ready" == reason(cloud, arn)
    assert ("enforced", "open") == (cloud.current(arn)["status"], cloud.current(arn)["watch"])


def test_a_read_back_that_is_throttled_leaves_nothing_unconfirmed(cloud: Cloud) -> None:
    """And what breaks afterwards is put back."""
    arn = cloud.one()
    cloud.wire.refuse("DescribeInstances", "RequestLimitExceeded", when=lambda _: bool(cloud.changes()), times=1)
    run(cloud, arn)
    assert ("enforced", True) == (cloud.current(arn)["status"], cloud.current(arn)["confirmed"])
    cloud.clock.move(minutes=10)
    reject(cloud, arn, 3)
    guard(cloud, after=10)
    assert "optional" == cloud.tokens(arn)


def dies_after(cloud: Cloud, arn: InstanceArn) -> None:
    """The function ends between EC2's answer and the record."""
    dead: list[bool] = []

    def die(call: Call) -> None:
        if cloud.changes() and not dead:
            dead.append(True)
            raise Died

    cloud.wire.on("TransactWriteItems", die)
    with pytest.raises(Died):
        run(cloud, arn)
    assert ("enforcing", "required") == (cloud.current(arn)["status"], cloud.tokens(arn))


def test_what_was_changed_by_a_run_that_died_is_ours_in_every_respect(cloud: Cloud) -> None:
    """It is counted from the change on, also what was refused before the takeover, and put back."""
    arn = cloud.one()
    dies_after(cloud, arn)
    reject(cloud, arn, 8)
    cloud.clock.move(seconds=LEASE.total_seconds())
    run(cloud, arn, source=Source.REVISIT)
    assert ("enforced", True) == (cloud.current(arn)["status"], cloud.current(arn)["confirmed"])
    guard(cloud, after=10)
    assert ("rolled_back", "optional") == (cloud.current(arn)["status"], cloud.tokens(arn))


def test_what_a_person_opened_after_a_run_died_is_not_fought(cloud: Cloud) -> None:
    """The takeover saw tokens required; then somebody set them to optional."""
    arn = cloud.one()
    dies_after(cloud, arn)
    cloud.clock.move(seconds=LEASE.total_seconds())
    run(cloud, arn, source=Source.REVISIT)
    cloud.set_options(arn, http_tokens="optional")
    cloud.clock.move(hours=1)
    assert "changed_back" == reason(cloud, arn)
    assert 1 == len(cloud.changes())


def test_what_is_refused_between_the_change_and_the_last_record_counts(cloud: Cloud) -> None:
    """Others of its batch wait for minutes; its watch begins with its own change."""
    first, second = cloud.launch(count=2)

    def slow(call: Call) -> None:
        if call.params["InstanceId"] == second.instance_id:
            reject(cloud, first, 12)
            cloud.clock.move(minutes=11)

    cloud.wire.on(MODIFY, slow)
    run(cloud, first, second)
    guard(cloud)
    assert "optional" == cloud.tokens(first)


def test_a_start_between_the_change_and_the_last_record_is_a_start(cloud: Cloud) -> None:
    """It gets its second watch."""
    arn = cloud.one()
    started: list[bool] = []

    def start(_: Call) -> None:
        if cloud.changes() and not started:
            started.append(True)
            cloud.clock.move(seconds=30)
            restart(cloud, arn)
            cloud.clock.move(seconds=30)

    cloud.wire.on("DescribeInstances", start)
    run(cloud, arn)
    guard(cloud)
    assert "restarted_at" in cloud.current(arn)


def test_an_automation_that_opens_at_once_is_not_fought(cloud: Cloud) -> None:
    """One change; when EC2 has had its time, it is held and people are told, and no further change follows."""
    arn = cloud.one()
    cloud.wire.on(
        "DescribeInstances", lambda _: cloud.set_options(arn, http_tokens="optional") if cloud.changes() else None
    )
    run(cloud, arn)
    for _ in range(4):
        guard(cloud)
    assert ("held", "changed_back") == (cloud.current(arn)["status"], cloud.current(arn)["reason"])
    live(cloud, arn, hours=50)
    assert "changed_back" == reason(cloud, arn)
    assert 1 == len(cloud.changes())
    assert any("somebody" in str(each["Subject"]).lower() for each in cloud.published())


def test_the_tag_of_another_functions_enforcement_is_not_removed(cloud: Cloud) -> None:
    """Two find the same leftover; one cannot read the evidence. Only who takes it over may touch the tag."""
    arn = cloud.one()
    dead: list[bool] = []

    def die(_: Call) -> None:
        if not dead:
            dead.append(True)
            raise Died

    cloud.wire.on(MODIFY, die)
    with pytest.raises(Died):
        run(cloud, arn)
    cloud.clock.move(seconds=LEASE.total_seconds())
    inner: list[bool] = []

    def other_comes(call: Call) -> None:
        if not inner:
            inner.append(True)
            run(cloud, arn, source=Source.REVISIT)

    cloud.wire.on("GetMetricData", other_comes)
    cloud.wire.refuse("GetMetricData", "InternalFailure", status=500, when=lambda _: len(inner) == 1, times=1)
    run(cloud, arn, source=Source.REVISIT)
    current = cloud.current(arn)
    if current["status"] == "held":
        assert {} == cloud.tags(arn)
    else:
        assert ENFORCED_TAG in cloud.tags(arn)
    assert len(cloud.changes()) <= 1


def hangs(cloud: Cloud) -> None:
    """Each CreateTags takes a minute and ends without an answer."""

    def hang(_: Call) -> None:
        cloud.clock.move(minutes=1)
        raise ReadTimeoutError(endpoint_url="https://ec2")

    cloud.wire.on("CreateTags", hang)


def test_a_tag_call_that_hangs_is_made_once(cloud: Cloud) -> None:
    """Not once for the batch and then for each of twelve instances; it is tried again in a quarter of an hour."""
    arns = cloud.launch(count=12)
    hangs(cloud)
    run(cloud, *arns)
    assert 1 == len(cloud.wire.made("CreateTags"))
    assert {("held", "not_ready")} == {(cloud.current(arn)["status"], cloud.current(arn)["reason"]) for arn in arns}
    assert [] == cloud.changes()


LATER: dict[str, tuple[Callable[[Cloud, InstanceArn], Any], str, bool]] = {
    "used by the next try": (lambda cloud, arn: None, "enforced", True),
    "removed by the next verdict": (
        lambda cloud, arn: cloud.tag(arn, **{"imdsv2_exempt-until": "2099-12-31"}),
        "skipped",
        False,
    ),
}


@pytest.mark.parametrize("what", LATER)
def test_a_tag_that_may_have_been_written_is_settled_at_the_next_try(what: str, cloud: Cloud) -> None:
    """CreateTags answers 500 after its effect, and the tag cannot be removed either."""
    arn = cloud.one()
    failing = [True]

    def after_the_effect(_: Call) -> None:
        if failing[0]:
            cloud.tag(arn, **{ENFORCED_TAG.replace(":", "_", 1): "2026-11-20T12:00:00Z"})

    cloud.wire.on("CreateTags", after_the_effect)
    cloud.wire.refuse("CreateTags", "InternalError", status=500, when=lambda _: failing[0])
    cloud.wire.refuse("DeleteTags", "InternalError", status=500, when=lambda _: failing[0])
    run(cloud, arn)
    assert ENFORCED_TAG in cloud.tags(arn)
    assert ["untag"] == cloud.current(arn)["owes"]
    assert timedelta() < cloud.ledger().read([arn])[arn].revisit_at - cloud.clock() <= timedelta(minutes=17)  # type: ignore[operator]
    failing[0] = False
    step, status, tagged = LATER[what]
    step(cloud, arn)
    cloud.clock.move(minutes=17)
    run(cloud, arn, source=Source.REVISIT)
    assert (status, tagged) == (cloud.current(arn)["status"], ENFORCED_TAG in cloud.tags(arn))
    assert "owes" not in cloud.current(arn)


def picky(cloud: Cloud) -> InstanceArn:
    """An instance whose tokens EC2 changes only if the call names the endpoint."""
    cloud.wire.refuse(
        MODIFY, "InvalidParameterValue", REFUSED_WITHOUT_ENDPOINT, when=lambda call: "HttpEndpoint" not in call.params
    )
    return cloud.one()


def test_the_endpoint_is_named_at_the_second_attempt(cloud: Cloud) -> None:
    """A quarter of an hour later, EC2 shows what the endpoint was when it first demanded that."""
    arn = picky(cloud)
    run(cloud, arn)
    current = cloud.current(arn)
    assert ("held", "not_ready") == (current["status"], current["reason"])
    assert cloud.clock() - datetime.fromisoformat(current["endpoint_wanted_at"]) < timedelta(seconds=1)
    cloud.clock.move(minutes=15)
    run(cloud, arn)
    assert ("required", "enforced") == (cloud.tokens(arn), cloud.current(arn)["status"])
    assert "endpoint_wanted_at" not in cloud.current(arn)
    assert ["enabled"] == [each["HttpEndpoint"] for each in cloud.changes() if "HttpEndpoint" in each]


def test_an_event_within_two_minutes_does_not_make_it_name_the_endpoint(cloud: Cloud) -> None:
    """Nor does it begin the wait anew."""
    arn = picky(cloud)
    run(cloud, arn)
    wanted_at = cloud.current(arn)["endpoint_wanted_at"]
    cloud.clock.move(minutes=1)
    run(cloud, arn)
    assert ("optional", wanted_at) == (cloud.tokens(arn), cloud.current(arn)["endpoint_wanted_at"])


def test_an_endpoint_that_somebody_disabled_is_seen_at_the_second_attempt(cloud: Cloud) -> None:
    """It is left alone, and what EC2 demanded is forgotten."""
    arn = picky(cloud)
    run(cloud, arn)
    cloud.set_options(arn, http_endpoint="disabled")
    cloud.clock.move(minutes=15)
    run(cloud, arn)
    current = cloud.current(arn)
    assert ("skipped", "endpoint_disabled", False) == (
        current["status"],
        current["reason"],
        "endpoint_wanted_at" in current,
    )
    assert not [each for each in cloud.changes() if "HttpEndpoint" in each]
