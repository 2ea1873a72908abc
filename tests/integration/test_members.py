"""Clients in other accounts: which role, for how long, under which session name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from imdsv2.aws.parsing import metrics_session
from imdsv2.aws.sessions import MemberClients
from imdsv2.domain.instance import InstanceArn
from tests.integration.builders import MEMBER, NOW, OTHER, ROLES, arn_of
from tests.world.clock import Clock

if TYPE_CHECKING:
    from imdsv2.aws.sessions import Role
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud, Stub


def granted(key: str, *, until: Any = NOW + timedelta(hours=1)) -> dict[str, Any]:
    """STS's answer."""
    return {
        "Credentials": {
            "AccessKeyId": f"{key:A>20}",
            "SecretAccessKey": "secret",
            "SessionToken": f"token-{key}",
            "Expiration": until,
        }
    }


def assumed(role_arn: str, name: str = "request-1") -> dict[str, Any]:
    """The parameters that STS gets: a role and a name, nothing more."""
    return {"RoleArn": role_arn, "RoleSessionName": name}


def role_of(role: str, account: str = MEMBER, partition: str = "aws") -> str:
    """The ARN of a member role."""
    return f"arn:{partition}:iam::{account}:role/imdsv2-remediation-{role}"


class World:
    """Members with a stubbed STS, and a clock and a name that the test can change."""

    def __init__(self, stub: Stub) -> None:
        self.clock, self.name, self.sts = Clock(NOW), "request-1", stub.client("sts")
        session = botocore.session.Session()
        self.clients = MemberClients(session, metrics_session(session), self.sts, ROLES, lambda: self.name, self.clock)


@pytest.mark.parametrize(
    ("partition", "region"),
    [
        ("aws", "eu-west-1"),
        ("aws-cn", "cn-north-1"),
        ("aws-us-gov", "us-gov-west-1"),
        ("aws-eusc", "eusc-de-east-1"),
    ],
)
@pytest.mark.parametrize("role", ["read", "write"])
def test_the_role_is_that_of_the_instances_account_and_partition(
    partition: str, region: str, role: Role, stub: Stub
) -> None:
    """The client then works in the instance's Region with the role's keys."""
    world = World(stub)
    stub.answer(world.sts, "assume_role", granted("k"), assumed(role_of(role, partition=partition)))
    arn = InstanceArn.of(region=region, account=MEMBER, instance_id="i-0123456789abcdef0")
    client: Any = world.clients.ec2(arn, role)
    assert region == client.meta.region_name
    assert "token-k" == client._request_signer._credentials.token


def test_a_role_is_assumed_once_for_all_regions_and_services(stub: Stub) -> None:
    """And one client is created for each of them."""
    world = World(stub)
    stub.answer(world.sts, "assume_role", granted("k"), assumed(role_of("read")))
    here, there = arn_of("1"), arn_of("1", region="us-east-1")
    first = world.clients.ec2(here, "read")
    assert first is world.clients.ec2(arn_of("2"), "read")
    assert "us-east-1" == world.clients.ec2(there, "read").meta.region_name
    assert "cloudwatch" == world.clients.cloudwatch(here).meta.service_model.service_name


def test_each_account_and_role_has_a_session_of_its_own(stub: Stub) -> None:
    """No write with the keys of the read role, nor with those of another account."""
    world = World(stub)
    places: list[tuple[str, Role]] = [(MEMBER, "read"), (MEMBER, "write"), (OTHER, "read")]
    for number, (account, role) in enumerate(places):
        stub.answer(world.sts, "assume_role", granted(f"{number}"), assumed(role_of(role, account)))
    clients: list[Any] = [world.clients.ec2(arn_of("1", account=account), role) for account, role in places]
    assert ["token-0", "token-1", "token-2"] == [each._request_signer._credentials.token for each in clients]


def test_a_role_that_cannot_be_assumed_is_tried_again_next_time(stub: Stub) -> None:
    """A refusal is not cached: the role may be deployed a minute later."""
    world = World(stub)
    stub.refuse(world.sts, "assume_role", "AccessDenied", "not authorized to perform: sts:AssumeRole")
    with pytest.raises(ClientError, match="AssumeRole"):
        world.clients.ec2(arn_of("1"), "read")
    stub.answer(world.sts, "assume_role", granted("k"), assumed(role_of("read")))
    assert world.clients.ec2(arn_of("1"), "read") is not None


def test_many_threads_that_need_a_client_at_once_assume_the_role_once(cloud: Cloud) -> None:
    """Creating clients and sessions is not thread-safe, and each unneeded session costs a call of STS."""
    clients = cloud.function().clients
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: clients.ec2(arn_of("1"), "write"), range(8)))
    assert 1 == len(cloud.wire.made("AssumeRole"))
    assert 1 == len({id(each) for each in made})


def test_an_account_that_is_slow_to_let_us_in_holds_up_no_other(cloud: Cloud) -> None:
    """The roles of different accounts are assumed in parallel."""
    clients = cloud.function().clients
    other_is_in = Event()

    def wait_for_the_other(call: Call) -> None:
        if OTHER in call.params["RoleArn"]:
            assert other_is_in.wait(10)

    cloud.wire.on("AssumeRole", wait_for_the_other)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(clients.ec2, arn_of("1", account=OTHER), "read")
        clients.ec2(arn_of("1"), "read")
        other_is_in.set()
        assert slow.result() is not None
