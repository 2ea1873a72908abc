"""Whose AMIs instances run on, by answers in the shape of botocore's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from imdsv2.aws.image_owners import ImageOwners
from imdsv2.domain.instance import Place
from tests.integration.builders import MEMBER, REGION

if TYPE_CHECKING:
    from tests.integration.builders import Stub

HERE = Place("aws", REGION, MEMBER)
AMAZON = "137112412989"


def owners_of(ec2: Any) -> ImageOwners:
    """In an account that is entered by this client."""
    members: Any = type("Members", (), {"ec2": lambda *_: ec2})()
    return ImageOwners(members, Logger(service="test"))


def asked(*images: str) -> dict[str, Any]:
    """The call that asks about AMIs."""
    return {
        "Filters": [{"Name": "image-id", "Values": list(images)}],
        "IncludeDeprecated": True,
        "IncludeDisabled": True,
    }


def test_what_belongs_to_others_is_told_apart_and_asked_once(stub: Stub) -> None:
    """An AMI that has been deregistered may have been the account's own."""
    ec2 = stub.client("ec2")
    shown = {"Images": [{"ImageId": "ami-1", "OwnerId": MEMBER}, {"ImageId": "ami-2", "OwnerId": AMAZON}]}
    stub.answer(ec2, "describe_images", shown, asked("ami-1", "ami-2", "ami-3"))
    owners = owners_of(ec2)
    assert {"ami-2"} == owners.foreign(HERE, ["ami-3", "ami-1", "ami-2"])
    assert {"ami-2"} == owners.foreign(HERE, ["ami-2", "ami-3"])


def test_many_are_asked_in_several_calls(stub: Stub) -> None:
    """A hundred a call."""
    ec2 = stub.client("ec2")
    images = [f"ami-{number:04}" for number in range(101)]
    stub.answer(ec2, "describe_images", {"Images": []}, asked(*images[:100]))
    stub.answer(ec2, "describe_images", {"Images": [{"ImageId": "ami-0100", "OwnerId": AMAZON}]}, asked(images[100]))
    assert {"ami-0100"} == owners_of(ec2).foreign(HERE, images)


def test_where_ec2_does_not_answer_an_image_may_be_the_accounts_own_and_is_asked_about_again(stub: Stub) -> None:
    """Members' roles of an earlier release may not ask."""
    ec2 = stub.client("ec2")
    stub.refuse(ec2, "describe_images", "UnauthorizedOperation")
    stub.answer(ec2, "describe_images", {"Images": [{"ImageId": "ami-1", "OwnerId": AMAZON}]}, asked("ami-1"))
    owners = owners_of(ec2)
    assert set() == owners.foreign(HERE, ["ami-1"])
    assert {"ami-1"} == owners.foreign(HERE, ["ami-1"])
