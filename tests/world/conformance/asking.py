"""How checks ask about one instance, and what a refusal says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.ec2 import describe
from imdsv2.domain.instance import Instance, InstanceArn
from tests.world.conformance.clouds import IMAGE, REGION

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.world.conformance.clouds import Cloud

UNKNOWN = ("i-0123456789abcdef0", "i-0123456789abcdef1")
"""Ids that no cloud has launched."""
OPTIONS = ("HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit")


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, int, str]:
    """Error code, HTTP status and message of a call's refusal; raises AssertionError where it is answered."""
    try:
        call(**request)
    except ClientError as error:
        said = error.response["Error"]
        return said["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"], said["Message"]
    raise AssertionError("the call is not refused")


def code_of(call: Callable[..., Any], **request: Any) -> tuple[str, int]:
    """Error code and HTTP status of a call's refusal, where AWS does not promise its words."""
    code, status, _ = refused(call, **request)
    return code, status


def arn_of(cloud: Cloud, instance_id: str) -> InstanceArn:
    """An instance of the cloud."""
    return InstanceArn.of(region=REGION, account=cloud.account, instance_id=instance_id)


def look(cloud: Cloud, instance_id: str) -> Instance:
    """An instance as the service reads it; it has to be there."""
    arn = arn_of(cloud, instance_id)
    seen = describe(cloud.ec2, [arn])[arn]
    assert isinstance(seen, Instance), seen
    return seen


def raw(cloud: Cloud, instance_id: str) -> Any:
    """An instance in the words of EC2."""
    [reservation] = cloud.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    [instance] = reservation["Instances"]
    return instance


def options_of(cloud: Cloud, instance_id: str) -> list[Any]:
    """Its metadata options, in the order of `OPTIONS`."""
    options = raw(cloud, instance_id)["MetadataOptions"]
    return [options[name] for name in OPTIONS]


def told(cloud: Cloud, seen: Instance) -> dict[str, Any]:
    """What the service has read, without the times, which only have to be those of the check."""
    assert IMAGE == seen.image_id
    times = (seen.launched_at, seen.first_launched_at, seen.stopped_at)
    options = seen.options
    return {
        "state": seen.state,
        "recent": [None if when is None else cloud.is_recent(when) for when in times],
        "options": [options.http_tokens, options.http_endpoint, options.hop_limit, options.state],
        "tags": dict(seen.tags),
        "managed by": seen.managed_by,
    }
