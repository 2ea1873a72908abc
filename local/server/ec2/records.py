"""The instances and tags that EC2 keeps in the account and Region at hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from local.server import platform as ms
from local.server.ec2.wire import Ec2Error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.server.platform import Record

AT_LAUNCH: Final = {
    "HttpTokens": "optional",
    "HttpPutResponseHopLimit": "1",
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}
ID_FORM: Final = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")


def found(ids: Iterable[str]) -> list[Record]:
    """The instances with these ids.

    Raises:
        Ec2Error: the first malformed id, or every id that does not exist in the account and Region.
    """
    ids = list(dict.fromkeys(ids))
    malformed = [each for each in ids if not ID_FORM.fullmatch(each)]
    if malformed:
        raise Ec2Error("InvalidInstanceID.Malformed", f'Invalid id: "{malformed[0]}"')
    missing = [each for each in ids if each not in ms.EC2_INSTANCES]
    if missing:
        subject, verb = ("instance IDs", "do") if len(missing) > 1 else ("instance ID", "does")
        raise Ec2Error("InvalidInstanceID.NotFound", f"The {subject} '{', '.join(missing)}' {verb} not exist")
    return [complete(ms.EC2_INSTANCES[each]) for each in ids]


def everything() -> list[Record]:
    """All instances of the account and Region, in the order in which they were launched."""
    return [complete(instance) for instance in ms.EC2_INSTANCES.values()]


def complete(instance: Record) -> Record:
    """Add what an instance lacks that ministack has launched by itself, for a stack or a group."""
    instance.setdefault("MetadataOptions", dict(AT_LAUNCH))
    instance.setdefault("FirstLaunchTime", instance["LaunchTime"])
    return instance


def tags_of(resource_id: str) -> dict[str, str]:
    """The tags of a resource."""
    return {tag["Key"]: tag.get("Value", "") for tag in ms.EC2_TAGS.get(resource_id, [])}
