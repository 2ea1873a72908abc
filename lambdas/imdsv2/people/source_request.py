"""Parses the question where instances come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import Place, partition_of
from imdsv2.errors import InvalidRequest
from imdsv2.line.events import shown
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import InstanceArn

SOURCES = "sources"
"""The name of the question, which is also its field in the event."""

_TAKES = frozenset({"account", "region", "targets", "principals"})
_EXAMPLE = '{"account": "222222222222", "region": "eu-west-1"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A validated question: the sources of an account and Region, or those of the named instances.

    ``principals``: whether CloudTrail is asked who launched by hand.
    """

    place: Place | None = None
    targets: tuple[InstanceArn, ...] = ()
    principals: bool = False
    dry_run: bool = True

    @property
    def places(self) -> dict[Place, frozenset[str]]:
        """The accounts and Regions to look at, each with the ids of the instances that are meant, none for all."""
        if self.place is not None:
            return {self.place: frozenset()}
        meant: dict[Place, set[str]] = {}
        for arn in self.targets:
            meant.setdefault(Place(arn.partition, arn.region, arn.account), set()).add(arn.instance_id)
        return {place: frozenset(ids) for place, ids in meant.items()}


def parse_question(event: Mapping[str, Any]) -> Question:
    """Parse the question. It only reads, so that a dry run is no different. Raises InvalidRequest, which names the field."""
    fields.refuse_unknown(event, {SOURCES, "dry_run", "caller", "reason"})
    dry_run = fields.flag(event, "dry_run", default=True)
    for name in ("caller", "reason"):
        fields.text(event, name, required=False)
    given = event[SOURCES]
    if not isinstance(given, dict) or not given.keys() & {"account", "targets"}:
        raise InvalidRequest(SOURCES, f"takes an object with account and region, or with targets, e.g. {_EXAMPLE}")
    for name in given:
        if name not in _TAKES:
            raise InvalidRequest(f"{SOURCES}.{shown(name)}", f"is no field; known are {', '.join(sorted(_TAKES))}")
    principals = given.get("principals", False)
    if not isinstance(principals, bool):
        raise InvalidRequest(f"{SOURCES}.principals", f"takes true or false, not {shown(principals)}")
    path = f"{SOURCES}."
    if "targets" in given:
        if given.keys() & {"account", "region"}:
            raise InvalidRequest(SOURCES, "takes either targets, or account and region")
        return Question(targets=fields.instances(given, path), principals=principals, dry_run=dry_run)
    account = fields.matching(given, "account", path, fields.ACCOUNT, "an account id of 12 digits")
    region = fields.matching(given, "region", path, fields.REGION, "a Region")
    if account is None or region is None:
        raise InvalidRequest(f"{SOURCES}.region", "is needed beside account: sources are regional")
    return Question(place=Place(partition_of(region), region, account), principals=principals, dry_run=dry_run)
