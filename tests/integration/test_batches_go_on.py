"""What goes wrong with one message, or one answer, is the failure of that one alone, and nothing is concluded from it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY

from imdsv2.aws.ec2 import describe, every_instance, list_instances
from imdsv2.aws.errors import CALL_FAILURES
from imdsv2.domain.instance import Instance, Place, Unreachable
from imdsv2.intake import started as starts
from imdsv2.line.run import Line
from tests.fixtures.events import config_change
from tests.integration.builders import MEMBER, NOW, arn_of, asked
from tests.integration.sourcing import deliver
from tests.integration.test_cohort_evidence import FROM_TEMPLATE, IN_GROUP, reason, run, use, young
from tests.integration.test_scaling import activity
from tests.integration.test_started import begins
from tests.integration.test_target import answer, ids, shown

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud, Stub

HOUR = timedelta(hours=1)


def test_a_defect_in_looking_at_starts_brings_back_the_starts_only(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The findings of the same batch are answered; they would come back with it, and end among the dead letters."""
    one, other = cloud.launch(count=2, tags=FROM_TEMPLATE)

    def fail(*_: Any) -> None:
        raise KeyError("State")

    monkeypatch.setattr(starts, "look", fail)
    assert ([1], 0) == deliver(cloud, config_change(one.instance_id), begins(other))
    assert cloud.current(one)["status"] in {"held", "enforced", "would_enforce"}


def test_a_defect_in_telling_fails_nobody_who_was_judged(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the instances of another account; what people are to be told is owed in the ledger."""
    arns = cloud.launch(count=3, use=1.0)

    def fail(*_: Any) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(Line, "_tell", fail)
    outcomes = cloud.line().run([asked(arn) for arn in arns], "request-1")
    assert ({*arns}, {}) == ({*outcomes.judged}, outcomes.failed)


@pytest.mark.parametrize("left_out", ["LaunchTime", "State"])
def test_an_instance_of_which_ec2_shows_too_little_is_unreachable_alone(stub: Stub, left_out: str) -> None:
    """The others of the same call are looked at."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2")]
    partly = {name: value for name, value in shown(arns[0]).items() if name != left_out}
    stub.answer(ec2, "describe_instances", answer(partly, shown(arns[1])), ids(arns))
    one, other = describe(ec2, arns).values()
    assert isinstance(one, Unreachable)
    assert left_out in one.problem
    assert one.passes
    assert isinstance(other, Instance)


@pytest.mark.parametrize("left_out", ["InstanceId", "LaunchTime", "State"])
def test_a_listing_that_shows_too_little_of_an_instance_is_a_failure_of_the_place(stub: Stub, left_out: str) -> None:
    """It would else be no failure of a call: the sweep counts one, and tries the place again."""
    ec2, arn = stub.client("ec2"), arn_of("1")
    partly = {name: value for name, value in shown(arn).items() if name != left_out}
    expected = {"IncludeManagedResources": True, "MaxResults": 1000, "Filters": ANY}
    stub.answer(ec2, "describe_instances", answer(partly), expected)
    with pytest.raises(CALL_FAILURES, match=left_out if left_out != "InstanceId" else "without its id"):
        every_instance(ec2, Place.of(arn))


@pytest.mark.parametrize("page", [{}, {"Reservations": [{"OwnerId": MEMBER}]}], ids=["no list", "an empty reservation"])
def test_an_answer_without_a_list_of_instances_does_not_say_that_there_are_none(
    stub: Stub, page: dict[str, Any]
) -> None:
    """What is asked for would be taken for gone, and a place for empty."""
    ec2, arn = stub.client("ec2"), arn_of("1")
    stub.answer(ec2, "describe_instances", page, ids([arn]))
    target = describe(ec2, [arn])[arn]
    assert isinstance(target, Unreachable)
    assert target.passes
    place = Place.of(arn)
    for look in (list_instances, lambda client: every_instance(client, place)):
        expected = {"IncludeManagedResources": True, "MaxResults": 1000, "Filters": ANY}
        stub.answer(ec2, "describe_instances", page, expected)
        with pytest.raises(CALL_FAILURES):
            look(ec2)


def test_activities_that_could_not_be_read_once_are_read_from_the_window_s_beginning_on(cloud: Cloud) -> None:
    """A look two days back, from the one that failed on, would never learn what ended before."""
    cloud.policy(mode="observe")
    members, gone, later = young(cloud, count=4, tags=IN_GROUP), arn_of("dead1"), arn_of("dead2")
    use(cloud, gone, hours_ago=75)
    pages = {
        None: [
            activity(f"Terminating EC2 instance: {later.instance_id}", NOW - 50 * HOUR),
            activity(f"Launching a new EC2 instance: {later.instance_id}", NOW - 56 * HOUR),
        ],
        "older": [
            activity(f"Terminating EC2 instance: {gone.instance_id}", NOW - 74 * HOUR),
            activity(f"Launching a new EC2 instance: {gone.instance_id}", NOW - 80 * HOUR),
        ],
    }

    def told(call: Call) -> dict[str, Any]:
        token = call.params.get("NextToken")
        return {"Activities": pages[token]} | ({} if token else {"NextToken": "older"})

    cloud.wire.refuse("DescribeScalingActivities", "AccessDenied", times=1)
    cloud.wire.fake("DescribeScalingActivities", told)
    verdict = run(cloud, members[0])[members[0]]
    assert "could not be read" in verdict.explanation
    cloud.quiet(members[0], 1.5)
    assert "cohort_uses_v1" == reason(cloud, members[0])
