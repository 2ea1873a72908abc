"""Parses the question which instances there are: by the tag Name, by id, by other tags, by account and Region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imdsv2.errors import InvalidRequest
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import Place

FIND = "find"
"""The name of the question, which is also its field in the event."""

_TAKES = frozenset({"names", "account", "region", "tags", "places"})
_EXAMPLE = '{"names": ["web-1"], "account": "222222222222", "region": "eu-west-1"}'
_NAMES_A_CALL = 500
_TAGS_A_CALL = 10
_PLACES_A_CALL = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FindQuestion:
    """A validated question. ``names``: values of the tag Name, or ids; empty: every instance. ``tags``: all of them must be there.
    ``places``: where to look beside where the ledger knows instances."""

    names: tuple[str, ...] = ()
    account: str | None = None
    region: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    dry_run: bool = True


def parse_find(event: Mapping[str, Any]) -> FindQuestion:
    """Parse the question. It only reads, so that a dry run is no different. Raises InvalidRequest, which names the field."""
    fields.refuse_unknown(event, {FIND, "dry_run", "caller", "reason"})
    dry_run = fields.flag(event, "dry_run", default=True)
    for name in ("caller", "reason"):
        fields.text(event, name)
    given = event[FIND]
    if not isinstance(given, dict):
        raise InvalidRequest(FIND, f"takes an object, e.g. {_EXAMPLE}")
    path = f"{FIND}."
    fields.refuse_unknown_in(given, _TAKES, path)
    return FindQuestion(
        names=_names(given),
        account=fields.account(given, path),
        region=fields.region(given, path),
        tags=_tags(given),
        places=fields.places(given, "places", _PLACES_A_CALL, path),
        dry_run=dry_run,
    )


def _names(given: Mapping[str, Any]) -> tuple[str, ...]:
    names = given.get("names", [])
    if not (isinstance(names, list) and len(names) <= _NAMES_A_CALL and all(map(_is_text, names))):
        raise InvalidRequest(
            f"{FIND}.names", f"takes a list of up to {_NAMES_A_CALL} names or ids, each 1 to 256 characters"
        )
    return tuple(dict.fromkeys(names))


def _tags(given: Mapping[str, Any]) -> dict[str, str]:
    tags = given.get("tags", {})
    is_valid = isinstance(tags, dict) and len(tags) <= _TAGS_A_CALL
    if not is_valid or not all(
        _is_text(key) and isinstance(value, str) and len(value) <= 256 for key, value in tags.items()
    ):
        raise InvalidRequest(f"{FIND}.tags", f'takes an object of up to {_TAGS_A_CALL} tags, e.g. {{"team": "blue"}}')
    return dict(tags)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 256
