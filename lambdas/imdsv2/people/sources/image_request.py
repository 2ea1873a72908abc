"""Parses the command that has AMIs require tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.node import shown
from imdsv2.errors import InvalidRequest
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGES = "images"
"""The name of the command, which is also its field in the event."""
CONFIRMATION = "cannot be undone"
IMAGES_A_CALL = 50

_TAKES = frozenset({"account", "region", "image_ids", "confirm"})
_IMAGE = re.compile(r"ami-[0-9a-f]{8,17}", re.ASCII)
_EXAMPLE = '{"account": "222222222222", "region": "eu-west-1", "image_ids": ["ami-0123456789abcdef0"]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOrder:
    """A validated command: AMIs of one account and Region. ``caller`` is None in dry runs only."""

    place: Place
    image_ids: tuple[str, ...]
    dry_run: bool
    caller: str | None
    reason: str | None


def parse_images(event: Mapping[str, Any]) -> ImageOrder:
    """Parse the command. Raises InvalidRequest, which names the field."""
    fields.refuse_unknown(event, {IMAGES, "dry_run", "caller", "reason"})
    dry_run = fields.flag(event, "dry_run", default=True)
    caller = fields.text(event, "caller")
    reason = fields.text(event, "reason")
    given = event[IMAGES]
    if not isinstance(given, dict) or not given:
        raise InvalidRequest(IMAGES, f"takes an object with account, region and image_ids, e.g. {_EXAMPLE}")
    path = f"{IMAGES}."
    fields.refuse_unknown_in(given, _TAKES, path)
    account = fields.account(given, path)
    region = fields.region(given, path)
    if account is None or region is None:
        raise InvalidRequest(f"{path}{'account' if account is None else 'region'}", f"is needed, e.g. {_EXAMPLE}")
    image_ids = _image_ids(given.get("image_ids"), path)
    _confirmed(given, dry_run=dry_run)
    if not dry_run:
        fields.require_caller(caller)
    place = Place(partition_of(region), region, account)
    return ImageOrder(place=place, image_ids=image_ids, dry_run=dry_run, caller=caller, reason=reason)


def _image_ids(given: object, path: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= IMAGES_A_CALL:
        raise InvalidRequest(f"{path}image_ids", f"takes a list of 1 to {IMAGES_A_CALL} ids of AMIs")
    for each in given:
        if not isinstance(each, str) or not _IMAGE.fullmatch(each):
            raise InvalidRequest(f"{path}image_ids", f"takes ids of AMIs, ami-<hex>, not {shown(each)}")
    return tuple(dict.fromkeys(given))


def _confirmed(given: Mapping[str, Any], *, dry_run: bool) -> None:
    confirm = given.get("confirm")
    if (confirm is None and dry_run) or confirm == CONFIRMATION:
        return
    raise InvalidRequest(
        f"{IMAGES}.confirm",
        f'takes "{CONFIRMATION}", and is needed with dry_run: false: no AMI goes back from ImdsSupport v2.0; only a copy that is '
        "registered without it would allow IMDSv1 again",
    )
