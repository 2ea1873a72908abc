"""Launching instances in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_ec2 import EC2Client

IMAGE = "ami-0abcdef1234567890"


def launch(ec2: EC2Client, *, count: int = 1, tags: Mapping[str, str] | None = None, **options: Any) -> list[str]:
    """Launch instances and return their ids; `options` are metadata options."""
    specifications: list[Any] = (
        [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
        if tags
        else []
    )
    launched = ec2.run_instances(
        ImageId=IMAGE,
        MinCount=count,
        MaxCount=count,
        TagSpecifications=specifications,
        MetadataOptions=options,  # type: ignore[arg-type]
    )
    return [instance["InstanceId"] for instance in launched["Instances"]]


def describe(ec2: EC2Client, instance_id: str) -> Any:
    """One instance as EC2 shows it."""
    [reservation] = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    [instance] = reservation["Instances"]
    return instance


class Refused:
    """Takes the error code out of a refusal."""

    code: str
    message: str
    status: int

    def __init__(self) -> None:
        self._raises = pytest.raises(ClientError)

    def __enter__(self) -> Refused:
        self._caught = self._raises.__enter__()
        return self

    def __exit__(self, *error: Any) -> bool:
        swallowed = bool(self._raises.__exit__(*error))
        response: Any = self._caught.value.response
        self.code = response["Error"]["Code"]
        self.message = response["Error"]["Message"]
        self.status = response["ResponseMetadata"]["HTTPStatusCode"]
        return swallowed


def pages_of(ec2: EC2Client, **arguments: Any) -> Iterator[list[str]]:
    """The ids on each page of DescribeInstances."""
    for page in ec2.get_paginator("describe_instances").paginate(**arguments):
        yield [instance["InstanceId"] for reservation in page["Reservations"] for instance in reservation["Instances"]]
