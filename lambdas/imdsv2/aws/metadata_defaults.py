"""Reads and sets an account's metadata defaults in a Region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.graduation import ENFORCED, HOPS, TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_ec2 import EC2Client


def read_metadata_defaults(ec2: EC2Client) -> tuple[dict[str, Any], str]:
    """The defaults that are set, under EC2's names, and who manages them. Raises ClientError or BotoCoreError."""
    seen: Mapping[str, Any] = ec2.get_instance_metadata_defaults().get("AccountLevel", {})
    return {name: seen[name] for name in (TOKENS, HOPS, ENFORCED) if name in seen}, seen.get("ManagedBy", "account")


def set_metadata_defaults(ec2: EC2Client, wanted: Mapping[str, Any]) -> None:
    """Set these defaults and no other. Raises ClientError or BotoCoreError."""
    ec2.modify_instance_metadata_defaults(**wanted)
