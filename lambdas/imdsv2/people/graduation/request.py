"""Parses the command that locks the metadata defaults of an account and Region, or unlocks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.node import shown
from imdsv2.errors import InvalidRequest
from imdsv2.ledger.trail import Author
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

GRADUATE = "graduate"
"""The name of the command, which is also its field in the event."""

_TAKES = frozenset({"account", "region", "hop_limit", "enforce", "unlock"})
_MOST_HOPS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class GraduationOrder:
    """A validated command. ``enforce``: launches that allow IMDSv1 are to fail; ``unlock``: what was before is put back. ``caller`` is
    None in dry runs only."""

    place: Place
    hop_limit: int | None = None
    enforce: bool = False
    unlock: bool = False
    dry_run: bool = True
    caller: str | None = None
    reason: str | None = None

    @property
    def author(self) -> Author:
        """Who asks, and why, as the trail tells it."""
        return Author(caller=self.caller, source="manual", because=self.reason)

    def signed(self, request_id: str) -> str:
        """Who asks, and why, as the ledger keeps it."""
        signature = f"{self.caller or 'somebody'}, request {request_id}"
        return f"{signature}: {self.reason}" if self.reason else signature


def parse_graduate(event: Mapping[str, Any]) -> GraduationOrder:
    """Parse the command. Raises InvalidRequest, which names the field."""
    fields.refuse_unknown(event, {GRADUATE, "dry_run", "caller", "reason"})
    given = event[GRADUATE]
    if not isinstance(given, dict):
        example = '{"account": "222222222222", "region": "eu-west-1"}'
        raise InvalidRequest(GRADUATE, f"takes an object with account and region, e.g. {example}")
    path = f"{GRADUATE}."
    fields.refuse_unknown_in(given, _TAKES, path)
    account = fields.account(given, path)
    region = fields.region(given, path)
    if account is None or region is None:
        raise InvalidRequest(f"{path}{'account' if account is None else 'region'}", "is needed: defaults are regional")
    hops = given.get("hop_limit")
    if hops is not None and (type(hops) is not int or not 1 <= hops <= _MOST_HOPS):
        raise InvalidRequest(f"{path}hop_limit", f"takes a whole number from 1 to {_MOST_HOPS}, not {shown(hops)}")
    switches = {name: _switch(given, name, path) for name in ("enforce", "unlock")}
    if switches["unlock"] and (switches["enforce"] or hops is not None):
        raise InvalidRequest(f"{path}unlock", "puts back everything that was set, and takes nothing beside it")
    if switches["enforce"] and hops is not None:
        raise InvalidRequest(f"{path}hop_limit", "belongs to the first step; enforce is a step of its own")
    dry_run = fields.flag(event, "dry_run", default=True)
    if not dry_run:
        fields.require_caller(event.get("caller"))
    return GraduationOrder(
        place=Place(partition_of(region), region, account),
        hop_limit=hops,
        dry_run=dry_run,
        caller=fields.text(event, "caller"),
        reason=fields.text(event, "reason"),
        **switches,
    )


def _switch(given: Mapping[str, Any], name: str, path: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{path}{name}", f"takes true or false, not {shown(value)}")
    return value
