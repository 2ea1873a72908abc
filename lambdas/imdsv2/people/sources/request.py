"""Parses the question where instances come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.node import shown
from imdsv2.errors import InvalidRequest
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import InstanceArn

SOURCES = "sources"
"""The name of the question, which is also its field in the event."""

_TAKES = frozenset({"account", "region", "targets", "principals", "fix"})
_EXAMPLE = '{"account": "222222222222", "region": "eu-west-1"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceQuestion:
    """A validated question: the sources of an account and Region, or those of the named instances.

    ``principals``: whether CloudTrail is asked who launched by hand. ``fix``: whether the service is to change them, or to say what it
    would change; ``caller``: who asks for it, None in dry runs only; ``reason``: why, if they say so.
    """

    place: Place | None = None
    targets: tuple[InstanceArn, ...] = ()
    principals: bool = False
    fix: bool = False
    caller: str | None = None
    reason: str | None = None
    dry_run: bool = True

    @property
    def places(self) -> dict[Place, frozenset[str]]:
        """The accounts and Regions to look at, each with the ids of the instances that are meant, none for all."""
        if self.place is not None:
            return {self.place: frozenset()}
        meant: dict[Place, set[str]] = {}
        for arn in self.targets:
            meant.setdefault(Place.of(arn), set()).add(arn.instance_id)
        return {place: frozenset(ids) for place, ids in meant.items()}


def parse_sources(event: Mapping[str, Any]) -> SourceQuestion:
    """Parse the question. Without ``fix`` it only reads, so that a dry run is no different. Raises InvalidRequest, which names the
    field."""
    fields.refuse_unknown(event, {SOURCES, "dry_run", "caller", "reason"})
    dry_run = fields.flag(event, "dry_run", default=True)
    reason = fields.text(event, "reason")
    caller = fields.text(event, "caller")
    given = event[SOURCES]
    if not isinstance(given, dict) or not given.keys() & {"account", "targets"}:
        raise InvalidRequest(SOURCES, f"takes an object with account and region, or with targets, e.g. {_EXAMPLE}")
    path = f"{SOURCES}."
    fields.refuse_unknown_in(given, _TAKES, path)
    asked = {**_options(given, caller, dry_run=dry_run), "reason": reason}
    if "targets" in given:
        if given.keys() & {"account", "region"}:
            raise InvalidRequest(SOURCES, "takes either targets, or account and region")
        return SourceQuestion(targets=fields.instances(given, path), **asked)
    account = fields.account(given, path)
    region = fields.region(given, path)
    if account is None or region is None:
        raise InvalidRequest(f"{SOURCES}.region", "is needed beside account: sources are regional")
    return SourceQuestion(place=Place(partition_of(region), region, account), **asked)


def _options(given: Mapping[str, Any], caller: str | None, *, dry_run: bool) -> dict[str, Any]:
    """What the question asks for besides. A change has somebody who answers for it."""
    for name in ("principals", "fix"):
        if not isinstance(given.get(name, False), bool):
            raise InvalidRequest(f"{SOURCES}.{name}", f"takes true or false, not {shown(given[name])}")
    principals, fix = given.get("principals", False), given.get("fix", False)
    if fix and principals:
        raise InvalidRequest(f"{SOURCES}.principals", "is a question of its own; leave it out beside fix")
    if fix and not dry_run:
        fields.require_caller(caller)
    return {"principals": principals, "fix": fix, "caller": caller, "dry_run": dry_run}
