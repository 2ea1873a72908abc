"""Reads AMIs and the account's metadata defaults: what decides where a launch itself says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.described_images import described_images
from imdsv2.source.launching import Defaults, Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef


def read_images(ec2: EC2Client, ids: Iterable[str], account: str) -> dict[str, Image]:
    """The AMIs of these ids that the account may see; others are left out. Raises ClientError or BotoCoreError."""
    return {each["ImageId"]: _image(each, account) for each in described_images(ec2, ids)}


def read_defaults(ec2: EC2Client) -> Defaults:
    """The account's metadata defaults in the Region. Raises ClientError or BotoCoreError."""
    seen = ec2.get_instance_metadata_defaults().get("AccountLevel", {})
    return Defaults(
        tokens=_preference(seen.get("HttpTokens", "")),
        endpoint=_preference(seen.get("HttpEndpoint", "")),
        hop_limit=seen.get("HttpPutResponseHopLimit", -1),
        managed_by=seen.get("ManagedBy", ""),
        enforced=seen.get("HttpTokensEnforced") == "enabled",
    )


def _preference(said: str) -> str:
    return "" if said == "no-preference" else said


def _image(seen: ImageTypeDef, account: str) -> Image:
    return Image(
        id=seen["ImageId"],
        name=seen.get("Name", ""),
        own=seen.get("OwnerId") == account,
        requires=seen.get("ImdsSupport") == "v2.0",
        tags={tag["Key"]: tag["Value"] for tag in seen.get("Tags", [])},
    )
