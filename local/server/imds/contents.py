"""The content of an instance's metadata service: a tree in which names with entries below them are listed with a slash."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from local.server import platform as ms
from local.server.imds import credentials

if TYPE_CHECKING:
    from local.server.platform import Record

Tree: TypeAlias = "dict[str, Tree | str]"


def read(instance: Record, path: str, delivery: str) -> str | None:
    """The text at a path below `/latest`, or the list of names there; None if the path does not exist. ``delivery``: what credentials
    that are read here remember (`credentials`)."""
    here: Tree | str = _tree(instance, delivery)
    for name in path.strip("/").split("/") if path.strip("/") else ():
        if isinstance(here, str) or name not in here:
            return None
        here = here[name]
    return here if isinstance(here, str) else "\n".join(_listed(here))


def _listed(tree: Tree) -> list[str]:
    return [name if isinstance(below, str) else f"{name}/" for name, below in sorted(tree.items())]


def _tree(instance: Record, delivery: str) -> Tree:
    role, delivered = credentials.deliver(instance, delivery)
    zone = instance["Placement"]["AvailabilityZone"]
    user_data: Tree = {"user-data": base64.b64decode(instance["UserData"]).decode()} if instance["UserData"] else {}
    return user_data | {
        "dynamic": {"instance-identity": {"document": json.dumps(_identity(instance), indent=2)}},
        "meta-data": {
            "ami-id": instance["ImageId"],
            "hostname": instance["PrivateDnsName"],
            "iam": {"security-credentials": {role: json.dumps(delivered, indent=2)}},
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


def _seconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
