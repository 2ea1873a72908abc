"""How EC2's descriptions of instances are read: pages, unknown ids, refusals, and facts that only a message
contains."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import ANY

from imdsv2.aws.ec2 import describe, running_instances
from imdsv2.domain.instance import Instance, MetadataOptions, Missing, Place, Unreachable
from tests.integration.builders import MEMBER, REGION, arn_of

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud, Stub

LAUNCHED = datetime(2026, 10, 1, 8, 0, tzinfo=UTC)


def shown(arn: InstanceArn, **fields: Any) -> dict[str, Any]:
    """An instance in EC2's answer."""
    return {
        "InstanceId": arn.instance_id,
        "LaunchTime": LAUNCHED,
        "State": {"Name": "running", "Code": 16},
        "MetadataOptions": {
            "HttpTokens": "optional",
            "HttpEndpoint": "enabled",
            "HttpPutResponseHopLimit": 2,
            "State": "applied",
        },
        **fields,
    }


def answer(*instances: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    """A page of EC2's answer, a reservation for each instance."""
    page: dict[str, Any] = {"Reservations": [{"Instances": [each]} for each in instances]}
    return page | ({"NextToken": token} if token else {})


def ids(arns: list[InstanceArn]) -> dict[str, Any]:
    """The ids in a DescribeInstances request."""
    return {"InstanceIds": [arn.instance_id for arn in arns], "IncludeManagedResources": True}


def look_at(stub: Stub, **fields: Any) -> Instance:
    """Describe one instance that EC2 shows with these fields."""
    ec2, arn = stub.client("ec2"), arn_of("a")
    stub.answer(ec2, "describe_instances", answer(shown(arn, **fields)), ids([arn]))
    target = describe(ec2, [arn])[arn]
    assert isinstance(target, Instance)
    return target


def test_an_instance_is_read_as_ec2_shows_it(stub: Stub) -> None:
    """Options, state, image, tags and start."""
    target = look_at(stub, Tags=[{"Key": "Name", "Value": "web"}], ImageId="ami-1")
    options = MetadataOptions(http_tokens="optional", http_endpoint="enabled", hop_limit=2, state="applied")
    assert (options, "running", "ami-1", LAUNCHED, {"Name": "web"}) == (
        target.options,
        target.state,
        target.image_id,
        target.launched_at,
        target.tags,
    )


def test_all_pages_are_read(stub: Stub) -> None:
    """EC2 decides the size of a page."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2"), arn_of("3")]
    stub.answer(ec2, "describe_instances", answer(shown(arns[0]), token="t1"), ids(arns))
    stub.answer(ec2, "describe_instances", answer(token="t2"), ids(arns) | {"NextToken": "t1"})
    stub.answer(ec2, "describe_instances", answer(shown(arns[1]), shown(arns[2])), ids(arns) | {"NextToken": "t2"})
    assert all(isinstance(each, Instance) for each in describe(ec2, arns).values())


def test_more_than_a_thousand_ids_take_more_than_one_call(stub: Stub) -> None:
    """EC2 accepts at most 1,000 at once."""
    ec2, arns = stub.client("ec2"), [arn_of(f"{number:x}") for number in range(1001)]
    stub.answer(ec2, "describe_instances", answer(*map(shown, arns[:1000])), ids(arns[:1000]))
    stub.answer(ec2, "describe_instances", answer(shown(arns[1000])), ids(arns[1000:]))
    assert set(arns) == set(describe(ec2, arns))


def test_one_thousand_that_cannot_be_read_do_not_fail_the_next(stub: Stub) -> None:
    """Each call fails on its own."""
    ec2, arns = stub.client("ec2"), [arn_of(f"{number:x}") for number in range(1001)]
    stub.refuse(ec2, "describe_instances", "InternalError")
    stub.answer(ec2, "describe_instances", answer(shown(arns[1000])), ids(arns[1000:]))
    targets = describe(ec2, arns)
    assert isinstance(targets[arns[0]], Unreachable)
    assert isinstance(targets[arns[1000]], Instance)


@pytest.mark.parametrize(
    "message", ["The instance ID '{0}' does not exist", "The instance IDs '{0}, {1}' do not exist"]
)
def test_ids_that_ec2_does_not_know_are_missing_and_the_others_are_read(message: str, stub: Stub) -> None:
    """EC2 refuses the whole call, and names the unknown ids, in the singular or the plural."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2"), arn_of("3")]
    message = message.format(arns[0].instance_id, arns[2].instance_id)
    gone = {arn for arn in arns if arn.instance_id in message}
    left = [arn for arn in arns if arn not in gone]
    stub.refuse(ec2, "describe_instances", "InvalidInstanceID.NotFound", message, expected=ids(arns))
    stub.answer(ec2, "describe_instances", answer(*map(shown, left)), ids(left))
    targets = describe(ec2, arns)
    assert gone == {arn for arn, target in targets.items() if isinstance(target, Missing)}
    assert set(left) == {arn for arn, target in targets.items() if isinstance(target, Instance)}


def test_three_hundred_missing_ids_are_all_read_out_of_one_message(stub: Stub) -> None:
    """The message is longer than the part shown to people."""
    ec2, arns = stub.client("ec2"), [arn_of(f"{number:x}") for number in range(301)]
    listed = ", ".join(arn.instance_id for arn in arns[:300])
    stub.refuse(ec2, "describe_instances", "InvalidInstanceID.NotFound", f"The instance IDs '{listed}' do not exist")
    stub.answer(ec2, "describe_instances", answer(shown(arns[300])), ids(arns[300:]))
    targets = describe(ec2, arns)
    assert [Missing(arn=arn) for arn in arns[:300]] == [targets[arn] for arn in arns[:300]]
    assert isinstance(targets[arns[300]], Instance)


def test_missing_ids_may_be_named_one_call_after_another(stub: Stub) -> None:
    """The first refusal need not name them all; when no id is left, there is no further call."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2")]
    for count in (2, 1):
        stub.refuse(
            ec2,
            "describe_instances",
            "InvalidInstanceID.NotFound",
            f"The instance ID '{arns[2 - count].instance_id}' does not exist",
            expected=ids(arns[2 - count :]),
        )
    assert {arn: Missing(arn=arn) for arn in arns} == describe(ec2, arns)


def test_a_malformed_id_is_missing_and_the_others_are_read(stub: Stub) -> None:
    """An id may pass the service's check and fail EC2's."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2")]
    stub.refuse(ec2, "describe_instances", "InvalidInstanceID.Malformed", f'Invalid id: "{arns[0].instance_id}"')
    stub.answer(ec2, "describe_instances", answer(shown(arns[1])), ids(arns[1:]))
    targets = describe(ec2, arns)
    assert Missing(arn=arns[0]) == targets[arns[0]]
    assert isinstance(targets[arns[1]], Instance)


def test_a_refusal_that_names_nobody_is_not_asked_for_ever(stub: Stub) -> None:
    """Without a named id, there is nothing to leave out."""
    ec2, arn = stub.client("ec2"), arn_of("1")
    stub.refuse(ec2, "describe_instances", "InvalidInstanceID.NotFound", "The instance does not exist")
    assert isinstance(describe(ec2, [arn])[arn], Unreachable)


def test_an_id_that_ec2_leaves_out_is_missing(stub: Stub) -> None:
    """An instance that was terminated a while ago is in no answer."""
    ec2, arn = stub.client("ec2"), arn_of("1")
    stub.answer(ec2, "describe_instances", answer(), ids([arn]))
    assert {arn: Missing(arn=arn)} == describe(ec2, [arn])


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AuthFailure", "OptInRequired", "AccessDenied"])
def test_an_account_that_refuses_is_unreachable_and_the_reason_is_told(code: str, stub: Stub) -> None:
    """Role, Region or service control policy: a person needs EC2's message."""
    ec2, arn = stub.client("ec2"), arn_of("1")
    stub.refuse(ec2, "describe_instances", code, "You are not authorized")
    target = describe(ec2, [arn])[arn]
    assert isinstance(target, Unreachable)
    assert not target.throttled
    assert f"{code} to DescribeInstances: You are not authorized" in target.problem
    assert MEMBER in target.problem


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "Client.RequestLimitExceeded", "Throttling"])
def test_throttling_is_told_from_a_refusal(code: str, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself, and soon."""
    ec2, arn = stub.client("ec2"), arn_of("1")
    stub.refuse(ec2, "describe_instances", code, "Request limit exceeded.")
    target = describe(ec2, [arn])[arn]
    assert isinstance(target, Unreachable)
    assert target.throttled


def test_a_region_that_cannot_be_reached_is_unreachable(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network failure does not raise either."""
    ec2, arn = stub.client("ec2"), arn_of("1")

    def fail(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://ec2.eu-west-1.amazonaws.com")

    monkeypatch.setattr(ec2, "describe_instances", fail)
    assert isinstance(describe(ec2, [arn])[arn], Unreachable)


def test_a_long_refusal_is_cut_to_what_a_person_reads(stub: Stub) -> None:
    """An encoded authorization message has thousands of characters."""
    ec2, arn = stub.client("ec2"), arn_of("1")
    stub.refuse(ec2, "describe_instances", "UnauthorizedOperation", "x" * 5000)
    target = describe(ec2, [arn])[arn]
    assert isinstance(target, Unreachable)
    assert len(target.problem) < 700


@pytest.mark.parametrize(
    ("reason", "stopped_at"),
    [
        ("User initiated (2026-01-31 07:00:00 GMT)", datetime(2026, 1, 31, 7, 0, tzinfo=UTC)),
        ("User initiated (2026-01-31 07:00:00 UTC)", datetime(2026, 1, 31, 7, 0, tzinfo=UTC)),
        ("Server.SpotInstanceShutdown: (2026-01-31 07:00:00 GMT) stopped", datetime(2026, 1, 31, 7, 0, tzinfo=UTC)),
        ("", None),
        ("User initiated", None),
        ("User initiated (2026-02-31 07:00:00 GMT)", None),
        ("User initiated (2026-01-31 07:00:00 CET)", None),
    ],
)
def test_the_stop_time_is_read_out_of_ec2s_words(reason: str, stopped_at: datetime | None, stub: Stub) -> None:
    """If the message has no valid time, there is no stop time."""
    state = {"Name": "stopped", "Code": 80}
    assert stopped_at == look_at(stub, State=state, StateTransitionReason=reason).stopped_at


def test_a_running_instance_has_no_stop_time(stub: Stub) -> None:
    """The message of an earlier stop may still be there."""
    assert look_at(stub, StateTransitionReason="User initiated (2026-01-31 07:00:00 GMT)").stopped_at is None


def interface(index: int, attached: datetime | None, card: int | None = None) -> dict[str, Any]:
    """A network interface of an instance."""
    where = {"DeviceIndex": index} | ({"NetworkCardIndex": card} if card is not None else {})
    return {"Attachment": where | ({"AttachTime": attached} if attached else {})}


FIRST = datetime(2025, 3, 1, 8, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("interfaces", "first_launched_at"),
    [
        ([interface(1, LATER), interface(0, FIRST)], FIRST),
        ([interface(0, LATER)], LAUNCHED),
        ([interface(1, FIRST)], None),
        ([interface(0, LATER, card=1), interface(0, FIRST, card=0)], FIRST),
        ([interface(0, LATER, card=1)], None),
        ([interface(0, LAUNCHED), interface(0, FIRST, card=0), interface(0, LATER)], FIRST),
        ([interface(0, None), interface(0, FIRST)], FIRST),
        ([interface(0, None)], None),
        ([{}], None),
        ([], None),
    ],
)
def test_the_first_launch_shows_in_the_primary_network_interface(
    interfaces: list[dict[str, Any]], first_launched_at: datetime | None, stub: Stub
) -> None:
    """Other interfaces come and go; without data in the primary one, the launch is unknown."""
    assert first_launched_at == look_at(stub, NetworkInterfaces=interfaces).first_launched_at


@pytest.mark.parametrize(
    ("operator", "manager"),
    [
        ({"Managed": True, "Principal": "eks.amazonaws.com"}, "eks.amazonaws.com"),
        ({"Managed": True}, "another AWS service"),
        ({"Managed": False}, None),
    ],
)
def test_a_managed_instance_names_its_manager(operator: dict[str, Any], manager: str | None, stub: Stub) -> None:
    """EKS Auto Mode and its like."""
    assert manager == look_at(stub, Operator=operator).managed_by


@pytest.mark.parametrize(
    "options",
    [None, {}, {"HttpEndpoint": "enabled"}, {"HttpTokens": "", "HttpEndpoint": "enabled"}],
)
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_an_instance_whose_metadata_options_are_not_shown_cannot_be_read(
    options: dict[str, str] | None, state: str, stub: Stub
) -> None:
    """Unknown is neither optional nor required; the next look may show it."""
    ec2, arn = stub.client("ec2"), arn_of("a")
    bare = {name: value for name, value in shown(arn, State={"Name": state}).items() if name != "MetadataOptions"}
    stub.answer(
        ec2,
        "describe_instances",
        answer(bare | ({"MetadataOptions": options} if options is not None else {})),
        ids([arn]),
    )
    target = describe(ec2, [arn])[arn]
    assert isinstance(target, Unreachable)
    assert (True, False) == (target.passes, target.throttled)
    assert "does not show its metadata options" in target.problem


@pytest.mark.parametrize(
    "fields",
    [
        {"MetadataOptions": {"HttpTokens": "required"}},
        {"MetadataOptions": {"HttpEndpoint": "disabled"}},
        {"MetadataOptions": {"HttpTokens": "optional"}},
        {"MetadataOptions": {}, "State": {"Name": "terminated"}},
    ],
)
def test_what_is_shown_of_an_instance_may_be_enough(fields: dict[str, Any], stub: Stub) -> None:
    """What requires tokens, has no endpoint, or has ended is settled without the rest; and what is open is open."""
    assert look_at(stub, **fields).options.http_tokens == fields["MetadataOptions"].get("HttpTokens", "unknown")


def test_a_fleet_of_another_emulator_is_read_the_same_way(cloud: Cloud) -> None:
    """moto's own answers: two reservations, one of them stopped, and an unknown id."""
    running, stopped = cloud.one(hop_limit=2), cloud.one(tags={"Name": "web"})
    ec2 = cloud.as_account(MEMBER, "ec2")
    ec2.stop_instances(InstanceIds=[stopped.instance_id])
    targets = describe(ec2, [running, stopped, arn_of("404")])
    assert isinstance(first := targets[running], Instance)
    assert isinstance(second := targets[stopped], Instance)
    assert ("running", 2, None) == (first.state, first.options.hop_limit, first.stopped_at)
    assert ("stopped", {"Name": "web"}) == (second.state, second.tags)
    assert second.stopped_at is not None
    assert first.launched_at == first.first_launched_at
    assert Missing(arn=arn_of("404")) == targets[arn_of("404")]


def test_the_running_instances_of_a_place_are_read_page_by_page(stub: Stub) -> None:
    """Only those that allow IMDSv1: a cohort's canaries are chosen among them, whichever instances were requested."""
    ec2, arns = stub.client("ec2"), [arn_of("1"), arn_of("2")]
    asked: dict[str, Any] = {
        "IncludeManagedResources": True,
        "MaxResults": 1000,
        "Filters": [
            {"Name": "instance-state-name", "Values": ["running"]},
            {"Name": "metadata-options.http-tokens", "Values": ["optional"]},
        ],
    }
    stub.answer(ec2, "describe_instances", answer(shown(arns[0], ImageId="ami-1"), token="t1"), asked)
    stub.answer(ec2, "describe_instances", answer(shown(arns[1])), asked | {"NextToken": "t1"})
    found = running_instances(ec2, Place("aws", REGION, MEMBER))
    assert [(arns[0], "ami-1"), (arns[1], "")] == [(each.arn, each.image_id) for each in found]


def test_a_place_that_cannot_be_listed_is_an_error(stub: Stub) -> None:
    """Canaries chosen from a partial list would not be the same ones."""
    ec2 = stub.client("ec2")
    stub.answer(
        ec2,
        "describe_instances",
        answer(shown(arn_of("1")), token="t1"),
        {"MaxResults": 1000, "Filters": ANY, "IncludeManagedResources": True},
    )
    stub.refuse(ec2, "describe_instances", "RequestLimitExceeded")
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        running_instances(ec2, Place("aws", REGION, MEMBER))
