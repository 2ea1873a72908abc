"""What an instance's metadata service tells: a tree of names, of which those with something below them end in a slash."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import platform as ms

if TYPE_CHECKING:
    from local.server.platform import Record

Tree: TypeAlias = "dict[str, Tree | str]"

ROLE: Final = "local-instance-role"
CREDENTIALS_LIVE: Final = timedelta(hours=6)


def read(instance: Record, path: str) -> str | None:
    """The text at a path below `/latest`, or the names there; nothing there: None."""
    here: Tree | str = _tree(instance)
    for name in path.strip("/").split("/") if path.strip("/") else ():
        if isinstance(here, str) or name not in here:
            return None
        here = here[name]
    return here if isinstance(here, str) else "\n".join(_listed(here))


def _listed(tree: Tree) -> list[str]:
    return [name if isinstance(below, str) else f"{name}/" for name, below in sorted(tree.items())]


def _tree(instance: Record) -> Tree:
    zone = instance["Placement"]["AvailabilityZone"]
    user_data: Tree = {"user-data": base64.b64decode(instance["UserData"]).decode()} if instance["UserData"] else {}
    return user_data | {
        "dynamic": {"instance-identity": {"document": json.dumps(_identity(instance), indent=2)}},
        "meta-data": {
            "ami-id": instance["ImageId"],
            "hostname": instance["PrivateDnsName"],
            "iam": {"security-credentials": {ROLE: json.dumps(_credentials(), indent=2)}},
            "instance-id": instance["InstanceId"],
            "instance-type": instance["InstanceType"],
            "local-ipv4": instance["PrivateIpAddress"],
            "placement": {"availability-zone": zone, "region": ms.region()},
        },
    }


def _identity(instance: Record) -> dict[str, Any]:
    return {
        "accountId": ms.account_id(),
        "architecture": instance["Architecture"],
        "availabilityZone": instance["Placement"]["AvailabilityZone"],
        "imageId": instance["ImageId"],
        "instanceId": instance["InstanceId"],
        "instanceType": instance["InstanceType"],
        "pendingTime": _seconds(datetime.fromisoformat(instance["LaunchTime"])),
        "privateIp": instance["PrivateIpAddress"],
        "region": ms.region(),
        "version": "2017-09-30",
    }


def _credentials() -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "Code": "Success",
        "LastUpdated": _seconds(now),
        "Type": "AWS-HMAC",
        # A key of twelve digits acts in that account, so what is fetched here is good for calls.
        "AccessKeyId": ms.account_id(),
        "SecretAccessKey": "test",
        "Token": "local",
        "Expiration": _seconds(now + CREDENTIALS_LIVE),
    }


def _seconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
