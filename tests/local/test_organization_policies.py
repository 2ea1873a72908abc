"""Service control policies bind who they should, and credentials remember how they were delivered."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.deploy import deploy_stack
from local.cloud.run import ADMINISTRATION, HOME, MEMBERS, MEMBERS_UNIT, SECURITY
from tests.local.launching import launch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud.run import LocalCloud

STACK = "organization-policies"
QUEUES_ARE_CLOSED = {"Effect": "Deny", "Action": "sqs:*", "Resource": "*"}


def deploy(cloud: LocalCloud, *targets: str, statement: dict[str, Any] = QUEUES_ARE_CLOSED) -> None:
    """A stack with one service control policy."""
    organizations: Any = cloud.session().client("organizations")
    [root] = organizations.list_roots()["Roots"]
    if not root["PolicyTypes"]:
        organizations.enable_policy_type(RootId=root["Id"], PolicyType="SERVICE_CONTROL_POLICY")
    properties = {
        "Name": "closed",
        "Type": "SERVICE_CONTROL_POLICY",
        "Content": {"Version": "2012-10-17", "Statement": [statement]},
        "TargetIds": list(targets),
    }
    resource = {"Type": "AWS::Organizations::Policy", "Properties": properties}
    deploy_stack(cloud.session(), STACK, TemplateBody=json.dumps({"Resources": {"Policy": resource}}))


def client(cloud: LocalCloud, service: str, fetched: dict[str, str]) -> Any:
    session: Any = cloud.session()
    return session.client(
        service,
        region_name=HOME,
        aws_access_key_id=fetched["AccessKeyId"],
        aws_secret_access_key=fetched["SecretAccessKey"],
        aws_session_token=fetched["Token"],
    )


def may_list(cloud: LocalCloud, fetched: dict[str, str]) -> bool:
    """Whether queues may be listed with these credentials."""
    try:
        client(cloud, "sqs", fetched).list_queues()
    except ClientError as error:
        return "AccessDenied" not in error.response["Error"]["Code"]
    return True


def administrator(cloud: LocalCloud, account: str) -> dict[str, str]:
    """Credentials of whoever administrates a member."""
    role = f"arn:aws:iam::{account}:role/{ADMINISTRATION}"
    entered: Any = cloud.session().client("sts").assume_role(RoleArn=role, RoleSessionName="ada")["Credentials"]
    return {**entered, "Token": entered["SessionToken"]}


@pytest.fixture(autouse=True)
def _free(cloud: LocalCloud) -> Iterator[None]:
    """Nobody is bound in other tests."""
    yield
    cloud.session().client("cloudformation").delete_stack(StackName=STACK)


@pytest.mark.parametrize(
    ("targets", "bound"),
    [((), ()), ((MEMBERS[1],), (MEMBERS[1],)), ((MEMBERS_UNIT,), MEMBERS), (("r-loc1",), MEMBERS)],
    ids=["nobody", "an account", "the unit", "the root"],
)
def test_a_policy_binds_those_below_its_target(
    cloud: LocalCloud, targets: tuple[str, ...], bound: tuple[str, ...]
) -> None:
    """Though their own policies allow everything; another call passes, and so does the management account."""
    deploy(cloud, *targets)
    people = {account: administrator(cloud, account) for account in MEMBERS}
    assert {*bound} == {account for account, each in people.items() if not may_list(cloud, each)}
    for each in people.values():
        client(cloud, "ec2", each).describe_instances()
    cloud.session(account=SECURITY).client("sqs").list_queues()


def test_a_policy_without_its_targets_and_its_stack_binds_nobody(cloud: LocalCloud) -> None:
    """Detached by hand as the documentation says, and deleted."""
    deploy(cloud, MEMBERS_UNIT)
    organizations: Any = cloud.session().client("organizations")
    [policy] = made(organizations)
    organizations.detach_policy(PolicyId=policy["Id"], TargetId=MEMBERS_UNIT)
    assert may_list(cloud, administrator(cloud, MEMBERS[0]))
    organizations.attach_policy(PolicyId=policy["Id"], TargetId=MEMBERS_UNIT)
    assert not may_list(cloud, administrator(cloud, MEMBERS[0]))
    cloud.session().client("cloudformation").delete_stack(StackName=STACK)
    assert may_list(cloud, administrator(cloud, MEMBERS[0]))
    assert [] == made(organizations)


def test_credentials_remember_whether_a_token_fetched_them(cloud: LocalCloud) -> None:
    """`ec2:RoleDelivery` is 1.0 without, 2.0 with one; both are the role's, and the same until they end."""
    session = cloud.session(account=MEMBERS[0])
    iam, ec2 = session.client("iam"), session.client("ec2")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="till", AssumeRolePolicyDocument=document)
    iam.attach_role_policy(RoleName="till", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.create_instance_profile(InstanceProfileName="till-profile")
    iam.add_role_to_instance_profile(InstanceProfileName="till-profile", RoleName="till")
    [instance] = launch(ec2)
    ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "till-profile"})
    endpoint = cloud.imds(instance, account=MEMBERS[0], region=HOME)
    old, new = fetch(endpoint, with_token=False), fetch(endpoint, with_token=True)
    assert fetch(endpoint, with_token=True)["AccessKeyId"] == new["AccessKeyId"] != old["AccessKeyId"]
    who = client(cloud, "sts", old).get_caller_identity()["Arn"]
    assert f"arn:aws:sts::{MEMBERS[0]}:assumed-role/till/{instance}" == who
    condition = {"NumericLessThan": {"ec2:RoleDelivery": "2.0"}}
    deploy(cloud, MEMBERS[0], statement={**QUEUES_ARE_CLOSED, "Condition": condition})
    assert [False, True] == [may_list(cloud, each) for each in (old, new)]


def made(organizations: Any) -> list[dict[str, Any]]:
    """The policies that are not AWS's own."""
    found = organizations.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
    return [each for each in found if not each["AwsManaged"]]


def fetch(endpoint: str, *, with_token: bool) -> dict[str, str]:
    """The role's credentials, from the metadata service."""
    headers = {}
    if with_token:
        life = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        asked = urllib.request.Request(f"{endpoint}/latest/api/token", method="PUT", headers=life)  # noqa: S310 - loopback
        with urllib.request.urlopen(asked) as answer:  # noqa: S310 - loopback
            headers = {"X-aws-ec2-metadata-token": answer.read().decode()}
    path = "/latest/meta-data/iam/security-credentials/till"
    with urllib.request.urlopen(urllib.request.Request(endpoint + path, headers=headers)) as answer:  # noqa: S310 - loopback
        fetched: dict[str, str] = json.load(answer)
    return fetched
