"""IAM is enforced for the functions' own roles, with the condition keys that the service's roles use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.calendars import calendar
from local.cloud.run import HOME, MEMBERS, SECURITY
from tests.local.launching import describe, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_ec2 import EC2Client

    from local.cloud.run import LocalCloud

MEMBER = MEMBERS[0]
WRITER = "chain-write"
CALLER = f"arn:aws:iam::{SECURITY}:role/chain-fn-probe"


def _allow(actions: str | list[str], **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": "*", **({"Condition": condition} if condition else {})}


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _trust(**condition: Any) -> str:
    statement = _allow("sts:AssumeRole", **condition) | {"Principal": {"AWS": f"arn:aws:iam::{SECURITY}:root"}}
    del statement["Resource"]
    return _document(statement)


@pytest.fixture
def writer(cloud: LocalCloud) -> Iterator[Callable[..., str]]:
    """Makes a role in a member account, with these permissions, that the probing function may enter."""
    iam = cloud.session(account=MEMBER).client("iam")

    def make(*statements: dict[str, Any], trust: str = _trust(ArnEquals={"aws:PrincipalArn": CALLER})) -> str:
        arn: str = iam.create_role(RoleName=WRITER, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(
            RoleName=WRITER, PolicyName="own", PolicyDocument=_document(*statements or (_allow("ec2:*"),))
        )
        return arn

    yield make
    iam.delete_role_policy(RoleName=WRITER, PolicyName="own")
    iam.delete_role(RoleName=WRITER)


@pytest.fixture
def probe(cloud: LocalCloud, chain: dict[str, str]) -> Callable[..., str]:
    """Lets a function make a call with its own role, or one that it enters; returns `ok` or the error code."""

    def call(
        service: str, operation: str, *, role: str | None = None, assume: dict[str, str] | None = None, **arguments: Any
    ) -> str:
        asked = {
            "service": service,
            "operation": operation,
            "arguments": arguments,
            "role": role,
            "assume": assume or {},
        }
        answer = cloud.session().client("lambda").invoke(FunctionName=chain["Probe"], Payload=json.dumps(asked))
        result = json.load(answer["Payload"])
        return str(result if "FunctionError" not in answer else result["errorMessage"].split("(")[1].split(")")[0])

    return call


@pytest.fixture
def member_ec2(cloud: LocalCloud) -> EC2Client:
    """EC2 in the member account."""
    return cloud.session(account=MEMBER).client("ec2")


def test_a_function_may_do_what_its_role_allows_and_no_more(probe: Callable[..., str], chain: dict[str, str]) -> None:
    """The newer Security Hub's calls need the older actions on the newer hub, which this role has not."""
    assert "ok" == probe("securityhub", "get_findings")
    assert "AccessDeniedException" == probe("securityhub", "get_findings_v2")
    assert "AccessDeniedException" == probe("dynamodb", "scan", TableName=chain["Table"])
    assert "UnauthorizedOperation" == probe("ec2", "describe_instances")


def test_a_role_is_entered_by_the_named_role_only(probe: Callable[..., str], writer: Callable[..., str]) -> None:
    """`aws:PrincipalArn` is the role that calls, not its session."""
    assert "ok" == probe("ec2", "describe_instances", role=writer())


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{SECURITY}:role/another"}},
        {"StringEquals": {"sts:ExternalId": "secret"}},
    ],
    ids=["another role", "no external id"],
)
def test_a_role_is_closed_to_others(
    probe: Callable[..., str], writer: Callable[..., str], condition: dict[str, Any]
) -> None:
    """Though the account as a whole is trusted."""
    assert "AccessDenied" == probe("ec2", "describe_instances", role=writer(trust=_trust(**condition)))


def test_an_external_id_opens(probe: Callable[..., str], writer: Callable[..., str]) -> None:
    """The right one."""
    role = writer(trust=_trust(StringEquals={"sts:ExternalId": "secret"}))
    assert "ok" == probe("ec2", "describe_instances", role=role, assume={"ExternalId": "secret"})


def test_only_required_tokens_may_be_asked_for(
    probe: Callable[..., str], writer: Callable[..., str], member_ec2: EC2Client
) -> None:
    """`ec2:Attribute/HttpTokens` is what the call sends; a dry run is judged alike."""
    role = writer(_allow("ec2:ModifyInstanceMetadataOptions", StringEquals={"ec2:Attribute/HttpTokens": "required"}))
    [instance] = launch(member_ec2)
    tried = [
        probe("ec2", "modify_instance_metadata_options", role=role, InstanceId=instance, **arguments)
        for arguments in (
            {"HttpTokens": "required", "DryRun": True},
            {"HttpTokens": "optional", "DryRun": True},
            {"HttpPutResponseHopLimit": 2},
            {"HttpTokens": "required"},
        )
    ]
    assert ["DryRunOperation", "UnauthorizedOperation", "UnauthorizedOperation", "ok"] == tried


def test_the_present_state_may_bar_a_change(
    probe: Callable[..., str], writer: Callable[..., str], member_ec2: EC2Client
) -> None:
    """`ec2:MetadataHttpEndpoint` is what the instance has now."""
    deny = {**_allow("ec2:*", StringEquals={"ec2:MetadataHttpEndpoint": "disabled"}), "Effect": "Deny"}
    role = writer(_allow("ec2:*"), deny)
    [opened], [closed] = launch(member_ec2), launch(member_ec2, HttpEndpoint="disabled")
    change = {"HttpTokens": "required", "HttpEndpoint": "enabled"}
    assert ["ok", "UnauthorizedOperation"] == [
        probe("ec2", "modify_instance_metadata_options", role=role, InstanceId=each, **change)
        for each in (opened, closed)
    ]


def test_only_the_named_tags_may_be_written(
    probe: Callable[..., str], writer: Callable[..., str], member_ec2: EC2Client
) -> None:
    """`aws:TagKeys`, on instances only, each resource checked."""
    allow = _allow(["ec2:CreateTags", "ec2:DeleteTags"], **{"ForAllValues:StringEquals": {"aws:TagKeys": ["ours"]}})
    role = writer({**allow, "Resource": f"arn:aws:ec2:*:{MEMBER}:instance/*"})
    [instance] = launch(member_ec2)
    ours, theirs = [{"Key": "ours", "Value": "x"}], [{"Key": "theirs", "Value": "x"}]
    assert "ok" == probe("ec2", "create_tags", role=role, Resources=[instance], Tags=ours)
    assert "ok" == probe("ec2", "delete_tags", role=role, Resources=[instance], Tags=[{"Key": "ours"}])
    assert "UnauthorizedOperation" == probe("ec2", "create_tags", role=role, Resources=[instance], Tags=ours + theirs)
    assert "UnauthorizedOperation" == probe(
        "ec2", "create_tags", role=role, Resources=[instance, "vpc-00000001"], Tags=ours
    )


def test_tags_of_an_instance_are_conditions(
    probe: Callable[..., str], writer: Callable[..., str], member_ec2: EC2Client
) -> None:
    """`aws:ResourceTag` and `ec2:ResourceTag`."""
    role = writer(_allow("ec2:StopInstances", StringEquals={"aws:ResourceTag/team": "a", "ec2:ResourceTag/team": "a"}))
    [theirs], [others] = launch(member_ec2, tags={"team": "a"}), launch(member_ec2, tags={"team": "b"})
    assert ["ok", "UnauthorizedOperation"] == [
        probe("ec2", "stop_instances", role=role, InstanceIds=[each]) for each in (theirs, others)
    ]


def test_only_what_bears_a_tag_may_be_put_back(
    probe: Callable[..., str], writer: Callable[..., str], member_ec2: EC2Client
) -> None:
    """`Null` on `aws:ResourceTag`, whatever the tag's value; a dry run is judged alike, and no other option goes with it."""
    marked = {"aws:ResourceTag/imdsv2:enforced-at": "false", "ec2:Attribute/HttpPutResponseHopLimit": "true"}
    tokens = {"ec2:Attribute/HttpTokens": "optional"}
    role = writer(_allow("ec2:ModifyInstanceMetadataOptions", StringEquals=tokens, Null=marked))
    [ours] = launch(member_ec2, tags={"imdsv2:enforced-at": "2026-01-31T07:00:00Z"}, HttpTokens="required")
    [others] = launch(member_ec2, tags={"imdsv2:rolled-back-at": "2026-01-31T07:00:00Z"}, HttpTokens="required")

    def change(instance: str, **arguments: Any) -> str:
        return probe("ec2", "modify_instance_metadata_options", role=role, InstanceId=instance, **arguments)

    tried = [
        change(others, HttpTokens="optional", DryRun=True),
        change(others, HttpTokens="optional"),
        change(ours, HttpTokens="required"),
        change(ours, HttpTokens="optional", HttpPutResponseHopLimit=2),
        change(ours, HttpTokens="optional", DryRun=True),
        change(ours, HttpTokens="optional"),
    ]
    assert ["UnauthorizedOperation"] * 4 + ["DryRunOperation", "ok"] == tried
    assert ["optional", "required"] == [
        describe(member_ec2, each)["MetadataOptions"]["HttpTokens"] for each in (ours, others)
    ]


def test_a_launch_is_checked_on_what_it_makes_and_uses(
    probe: Callable[..., str], writer: Callable[..., str], cloud: LocalCloud
) -> None:
    """Type and tags of the instance, and the image without an account in its ARN; one resource that is missing refuses it all."""
    name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
    image = cloud.session(account=MEMBER).client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    small = {"StringEquals": {"ec2:InstanceType": "t4g.nano"}, "Null": {"aws:RequestTag/trial": "false"}}
    own = f"arn:aws:ec2:*:{MEMBER}:"
    instance = _allow("ec2:RunInstances", **small) | {"Resource": f"{own}instance/*"}
    around = [f"{own}{kind}/*" for kind in ("volume", "network-interface", "security-group", "subnet")]
    rest = _allow("ec2:RunInstances") | {"Resource": around}
    images = _allow("ec2:RunInstances", StringEquals={"ec2:Owner": "amazon"}) | {"Resource": "arn:aws:ec2:*::image/*"}
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "trial", "Value": "1"}]}]
    asked = {"ImageId": image, "InstanceType": "t4g.nano", "MinCount": 1, "MaxCount": 1, "TagSpecifications": tags}
    role = writer(instance, rest, images)

    def run(**changes: Any) -> str:
        return probe("ec2", "run_instances", role=role, **{**asked, **changes})

    assert ["ok", "UnauthorizedOperation", "UnauthorizedOperation"] == [
        run(),
        run(InstanceType="m7g.large"),
        run(TagSpecifications=[]),
    ]


def test_a_calendar_is_asked_by_leave_only(probe: Callable[..., str], cloud: LocalCloud) -> None:
    """`ssm:GetCalendarState` on the document, by its name or its ARN, and in another account."""
    for account in (SECURITY, MEMBER):
        ssm = cloud.session(account=account).client("ssm")
        for name in ("chain-calendar", "another-calendar"):
            ssm.create_document(Name=name, Content=calendar(), DocumentType="ChangeCalendar", DocumentFormat="TEXT")
            ssm.modify_document_permission(Name=name, PermissionType="Share", AccountIdsToAdd=[SECURITY])

    def ask(name: str) -> list[str]:
        arns = [f"arn:aws:ssm:{HOME}:{account}:document/{name}" for account in (SECURITY, MEMBER)]
        return [probe("ssm", "get_calendar_state", CalendarNames=[each]) for each in (name, *arns)]

    assert ["ok"] * 3 == ask("chain-calendar")
    assert ["AccessDeniedException"] * 3 == ask("another-calendar")


def test_an_administrator_enters_the_members(cloud: LocalCloud) -> None:
    """By `OrganizationAccountAccessRole`, as in an organisation."""
    role = f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole"
    entered = cloud.session().client("sts").assume_role(RoleArn=role, RoleSessionName="admin")
    assert (
        f"arn:aws:sts::{MEMBER}:assumed-role/OrganizationAccountAccessRole/admin" == entered["AssumedRoleUser"]["Arn"]
    )
    assert HOME == cloud.session().region_name
