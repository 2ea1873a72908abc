"""AMIs that require tokens: `ImdsSupport` is set once, for good, and shown."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def registered(ec2: EC2Client) -> str:
    """A new image of the account's own."""
    return ec2.register_image(Name=f"golden-{uuid.uuid4().hex}", RootDeviceName="/dev/xvda")["ImageId"]


def support(ec2: EC2Client, image_id: str) -> str | None:
    """What it says of tokens."""
    [image] = ec2.describe_images(Filters=[{"Name": "image-id", "Values": [image_id]}])["Images"]
    return image.get("ImdsSupport")


def test_an_image_requires_tokens_once_it_is_set(ec2: EC2Client) -> None:
    """A dry run of it changes nothing; others are as they were."""
    one, other = registered(ec2), registered(ec2)
    assert support(ec2, one) is None
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.modify_image_attribute(ImageId=one, ImdsSupport={"Value": "v2.0"}, DryRun=True)
    assert support(ec2, one) is None
    ec2.modify_image_attribute(ImageId=one, ImdsSupport={"Value": "v2.0"})
    assert ("v2.0", None) == (support(ec2, one), support(ec2, other))


@pytest.mark.parametrize(
    ("image", "value", "code"),
    [("ami-0123456789abcdef0", "v2.0", "InvalidAMIID.NotFound"), (None, "v1.0", "InvalidParameterValue")],
)
def test_what_ec2_refuses(ec2: EC2Client, image: str | None, value: str, code: str) -> None:
    """An image that is not there, and any way back."""
    with pytest.raises(ClientError, match=code):
        ec2.modify_image_attribute(ImageId=image or registered(ec2), ImdsSupport={"Value": value})


def test_instances_are_launched_from_it(ec2: EC2Client) -> None:
    """As from any other id, without software."""
    one = registered(ec2)
    [instance] = ec2.run_instances(ImageId=one, MinCount=1, MaxCount=1)["Instances"]
    [reservation] = ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"]
    assert [(one, "running")] == [(each["ImageId"], each["State"]["Name"]) for each in reservation["Instances"]]


def test_other_attributes_are_changed_as_before(ec2: EC2Client) -> None:
    """Who may launch from it, for example."""
    one = registered(ec2)
    ec2.modify_image_attribute(ImageId=one, LaunchPermission={"Add": [{"UserId": "444444444444"}]})
    shown = ec2.describe_image_attribute(ImageId=one, Attribute="launchPermission")["LaunchPermissions"]
    assert [{"UserId": "444444444444"}] == shown
