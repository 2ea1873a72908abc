"""The event history: launches and reboots as they were asked for and as they came out, and what instances' software calls."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from imdsv2.aws.launchers import read_launchers
from imdsv2.aws.past_launches import read_past_launches
from imdsv2.aws.reboots import last_reboots
from imdsv2.aws.role_deliveries import read_deliveries
from imdsv2.domain.instance import InstanceArn
from local.cloud.run import ADMINISTRATION, HOME, MEMBERS
from tests.local.launching import IMAGE, Refused, launch
from tests.local.model_check import check_answers

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from local.cloud.run import LocalCloud


@pytest.fixture
def cloudtrail(cloud: LocalCloud, account: str) -> Any:
    """CloudTrail of the account; an answer that the model does not know fails the test."""
    return check_answers(cloud.session(account=account).client("cloudtrail"))


def since(**ago: float) -> tuple[datetime, datetime]:
    """From so long ago until now."""
    now = datetime.now(UTC)
    return now - timedelta(**ago), now + timedelta(minutes=1)


def records(cloudtrail: Any, name: str) -> list[dict[str, Any]]:
    """The events of a name, the newest first."""
    asked = [{"AttributeKey": "EventName", "AttributeValue": name}]
    return [json.loads(each["CloudTrailEvent"]) for each in cloudtrail.lookup_events(LookupAttributes=asked)["Events"]]


@pytest.mark.parametrize(
    ("said", "given"),
    [({}, "optional"), ({"HttpTokens": "optional"}, "optional"), ({"HttpTokens": "required"}, "required")],
)
def test_a_launch_shows_what_was_asked_and_what_was_given(
    said: dict[str, Any], given: str, ec2: EC2Client, cloudtrail: Any, account: str
) -> None:
    """What a launch did not say stands in the answer alone."""
    [instance] = launch(ec2, **said)
    [found], complete = read_past_launches(cloudtrail, *since(minutes=5))
    assert complete
    assert (said.get("HttpTokens"), given, None) == (found.tokens, found.given, found.template)
    assert f"arn:aws:iam::{account}:root" == found.principal
    assert found.user_agent.startswith("Boto3/")
    [record] = records(cloudtrail, "RunInstances")
    [asked] = record["requestParameters"]["instancesSet"]["items"]
    assert {"imageId": IMAGE, "minCount": 1, "maxCount": 1} == asked
    [made] = record["responseElements"]["instancesSet"]["items"]
    assert (instance, given, "pending") == (
        made["instanceId"],
        made["metadataOptions"]["httpTokens"],
        made["instanceState"]["name"],
    )
    assert type(made["metadataOptions"]["httpPutResponseHopLimit"]) is int
    arn = InstanceArn("aws", HOME, account, instance)
    assert found.principal == read_launchers(cloudtrail, [arn])[arn].principal


def test_a_launch_from_a_template_names_the_template(ec2: EC2Client, cloudtrail: Any) -> None:
    """And not what it says: that stands in the answer."""
    data: Any = {"ImageId": IMAGE, "MetadataOptions": {"HttpTokens": "required"}}
    made = ec2.create_launch_template(LaunchTemplateName="mould", LaunchTemplateData=data)["LaunchTemplate"]
    ec2.run_instances(LaunchTemplate={"LaunchTemplateName": "mould", "Version": "$Latest"}, MinCount=1, MaxCount=1)
    ec2.run_instances(LaunchTemplate={"LaunchTemplateId": made["LaunchTemplateId"]}, MinCount=1, MaxCount=1)
    by_id, by_name = read_past_launches(cloudtrail, *since(minutes=5))[0]
    assert (made["LaunchTemplateId"], None, None, "required") == (
        by_id.template,
        by_id.version,
        by_id.tokens,
        by_id.given,
    )
    assert ("mould", "$Latest", None, "required") == (by_name.template, by_name.version, by_name.tokens, by_name.given)


def test_a_launch_that_was_refused_launched_nothing(ec2: EC2Client, cloudtrail: Any) -> None:
    """It is on record with its error; so is a dry run."""
    with Refused() as refusal:
        ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, DryRun=True)
    assert "DryRunOperation" == refusal.code
    [record] = records(cloudtrail, "RunInstances")
    assert ("Client.DryRunOperation", None) == (record["errorCode"], record["responseElements"])
    assert ([], True) == read_past_launches(cloudtrail, *since(minutes=5))


def test_a_launch_with_a_past_is_recorded_in_it(ec2: EC2Client, cloudtrail: Any) -> None:
    """And is forgotten after 90 days."""
    for days in (10, 80, 100):
        ago = datetime.now(UTC) - timedelta(days=days)
        launch(ec2, tags={"local:launched-at": ago.isoformat()})
    found, _ = read_past_launches(cloudtrail, *since(days=365))
    assert [10, 80] == [(datetime.now(UTC) - each.at).days for each in found]


def test_a_session_and_its_tool_are_named(cloud: LocalCloud) -> None:
    """As the account that it acts in sees them."""
    role = f"arn:aws:iam::{MEMBERS[0]}:role/{ADMINISTRATION}"
    sts = cloud.session().client("sts")
    keys = sts.assume_role(RoleArn=role, RoleSessionName="packer-17")["Credentials"]
    session: Any = cloud.session(account=MEMBERS[0], region="eu-central-2")
    builder = session.client(
        "ec2",
        region_name="eu-central-2",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        config=Config(user_agent="APN/1.0 HashiCorp/1.0 Packer/1.11.2"),
    )
    launch(builder)
    [found], _ = read_past_launches(session.client("cloudtrail"), *since(minutes=5))
    assert f"arn:aws:sts::{MEMBERS[0]}:assumed-role/{ADMINISTRATION}/packer-17" == found.principal
    assert found.user_agent.startswith("APN/1.0 HashiCorp/1.0 Packer/1.11.2 ")


def test_reboots_are_told_by_instance(ec2: EC2Client, cloudtrail: Any) -> None:
    """Those that EC2 accepted."""
    one, two, three = launch(ec2, count=3)
    ec2.reboot_instances(InstanceIds=[one, two])
    now = datetime.now(UTC) + timedelta(seconds=1)
    found = last_reboots(cloudtrail, [one, two, three], now)
    assert {one, two} == set(found)
    assert all(now - each < timedelta(minutes=1) for each in found.values())


def test_a_group_launches_as_a_service(cloud: LocalCloud, ec2: EC2Client, cloudtrail: Any, account: str) -> None:
    """From its template, which the event names."""
    data: Any = {"ImageId": IMAGE, "MetadataOptions": {"HttpTokens": "required"}}
    made = ec2.create_launch_template(LaunchTemplateName="flock", LaunchTemplateData=data)["LaunchTemplate"]
    scaling: Any = cloud.session(account=account).client("autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="flock",
        MinSize=2,
        MaxSize=2,
        AvailabilityZones=[f"{HOME}a"],
        LaunchTemplate={"LaunchTemplateName": "flock"},
    )
    found, _ = read_past_launches(cloudtrail, *since(minutes=5))
    assert [(made["LaunchTemplateId"], "1", "required")] * 2 == [
        (each.template, each.version, each.given) for each in found
    ]
    assert {"autoscaling.amazonaws.com"} == {each.user_agent for each in found}
    assert all("AWSServiceRoleForAutoScaling" in each.principal for each in found)


def test_calls_of_instances_say_how_their_credentials_were_delivered(
    cloud: LocalCloud, ec2: EC2Client, cloudtrail: Any, account: str
) -> None:
    """By the instance's id as the user name, with the SDK's own name."""
    session = cloud.session(account=account)
    iam = session.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="shop", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    iam.attach_role_policy(RoleName="shop", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.create_instance_profile(InstanceProfileName="shop")
    iam.add_role_to_instance_profile(InstanceProfileName="shop", RoleName="shop")
    [instance] = launch(ec2)
    ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "shop"})
    url = cloud.imds(instance, account=account, region=HOME) + "/latest/meta-data/iam/security-credentials/shop"
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
        fetched = json.load(answer)
    maker: Any = session
    sqs = maker.client(
        "sqs",
        region_name=HOME,
        aws_access_key_id=fetched["AccessKeyId"],
        aws_secret_access_key=fetched["SecretAccessKey"],
        aws_session_token=fetched["Token"],
        config=Config(user_agent="Boto3/1.9.57 Botocore/1.12.57"),
    )
    sqs.list_queues()
    found = read_deliveries(cloudtrail, instance, *since(minutes=5))
    [call] = found.by_v1
    assert "sqs:ListQueues" == call.call
    assert call.user_agent.startswith("Boto3/1.9.57 Botocore/1.12.57 ")
    assert (0, 0) == (found.by_v2, found.unsaid)


def test_pages_have_50_events_and_each_once(ec2: EC2Client, cloudtrail: Any) -> None:
    """The newest first, whatever the pages."""
    for _ in range(7):
        launch(ec2)
    whole = [each["EventId"] for each in cloudtrail.lookup_events()["Events"]]
    pages = cloudtrail.get_paginator("lookup_events").paginate(PaginationConfig={"PageSize": 3})
    assert whole == [each["EventId"] for page in pages for each in page["Events"]]
    assert 7 == len(set(whole))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("EventSource", "ec2.amazonaws.com"),
        ("ReadOnly", "false"),
        ("ResourceType", "AWS::EC2::Instance"),
        ("Username", "root"),
        ("EventId", None),
        ("ResourceName", None),
        ("AccessKeyId", None),
    ],
)
def test_each_attribute_finds_its_events(
    key: str, value: str | None, ec2: EC2Client, cloudtrail: Any, account: str
) -> None:
    """And no others."""
    [instance] = launch(ec2)
    [event] = cloudtrail.lookup_events()["Events"]
    own = {"EventId": event["EventId"], "ResourceName": instance, "AccessKeyId": account}
    asked = {"AttributeKey": key, "AttributeValue": value or own[key]}
    assert [event["EventId"]] == [
        each["EventId"] for each in cloudtrail.lookup_events(LookupAttributes=[asked])["Events"]
    ]
    other = {"AttributeKey": key, "AttributeValue": "another"}
    assert [] == cloudtrail.lookup_events(LookupAttributes=[other])["Events"]


def test_another_place_knows_nothing_of_it(cloud: LocalCloud, ec2: EC2Client, account: str) -> None:
    """A history is that of an account and Region."""
    launch(ec2)
    for session in (cloud.session(account=account, region="us-east-1"), cloud.session(account="698888888888")):
        assert [] == session.client("cloudtrail").lookup_events()["Events"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (
            {"StartTime": datetime(2027, 1, 2, tzinfo=UTC), "EndTime": datetime(2027, 1, 1, tzinfo=UTC)},
            "InvalidTimeRangeException",
        ),
        ({"NextToken": "no token"}, "InvalidNextTokenException"),
        (
            {
                "LookupAttributes": [
                    {"AttributeKey": "EventName", "AttributeValue": "a"},
                    {"AttributeKey": "Username", "AttributeValue": "b"},
                ]
            },
            "InvalidLookupAttributesException",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(request_: dict[str, Any], code: str, cloudtrail: Any) -> None:
    """With a code of the operation."""
    with Refused() as refusal:
        cloudtrail.lookup_events(**request_)
    model = cloudtrail.meta.service_model.operation_model("LookupEvents")
    assert code == refusal.code
    assert code in {each.name for each in model.error_shapes}
