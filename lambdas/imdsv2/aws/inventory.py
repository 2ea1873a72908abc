"""Asks Systems Manager's inventory which applications an instance has, and on which platform: where somebody collects it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import error_code
from imdsv2.aws.pages import pages
from imdsv2.culprit.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PAGES = 40
_ENTRIES = 50
"""The most that ListInventoryEntries takes (its API reference)."""
_LONGEST = 200
_UNKNOWN = "InvalidInstanceId"
_ABOUT_ITSELF, _APPLICATIONS = "AWS:InstanceInformation", "AWS:Application"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What the inventory says. ``read``: whether it could be read; ``managed``: whether Systems Manager knows the instance;
    ``applications``: name and version of each; ``complete``: whether these are all."""

    read: bool = False
    managed: bool = False
    platform: str | None = None
    linux: bool = False
    applications: Sequence[tuple[str, str]] = ()
    complete: bool = True


def read_inventory(ssm: Any, instance_id: str) -> Inventory:
    """The inventory of an instance. Raises ClientError, BotoCoreError or QuotaExhausted."""
    try:
        about = next(_entries(ssm, instance_id, _ABOUT_ITSELF, []), None)
        if about is None:
            return Inventory(read=True)
        cut: list[bool] = []
        applications = [
            (str(each.get("Name", "")), str(each.get("Version", "")))
            for each in _entries(ssm, instance_id, _APPLICATIONS, cut)
        ]
    except ClientError as error:
        if error_code(error) == _UNKNOWN:
            return Inventory(read=True)
        raise
    # Where nobody collects the rest, the agent tells its own version all the same.
    agent = str(about.get("AgentVersion", ""))
    told = [("amazon-ssm-agent", agent)] if agent else []
    name = f"{about.get('PlatformName', '')} {about.get('PlatformVersion', '')}"
    return Inventory(
        read=True,
        managed=True,
        platform=plain(name, _LONGEST) or None,
        linux=about.get("PlatformType") == "Linux",
        applications=[*told, *applications],
        complete=not cut,
    )


def _entries(ssm: Any, instance_id: str, kind: str, cut: list[bool]) -> Iterator[Mapping[str, Any]]:
    """The entries of a type, page by page; ``cut`` gets an item where there are more of them."""
    request = {"InstanceId": instance_id, "TypeName": kind, "MaxResults": _ENTRIES}
    page: Mapping[str, Any] = {}
    for page in islice(pages(ssm.list_inventory_entries, **request), PAGES):
        yield from page.get("Entries", [])
    if page.get("NextToken"):
        cut.append(True)
