"""The input of a sweep: which accounts and Regions it goes through, and whether it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import ACCOUNT
from imdsv2.domain.regions import LIKE_A_REGION, unknown_region
from imdsv2.errors import InvalidRequest

if TYPE_CHECKING:
    import re

_LONGEST_SPARED_HOURS = 24


@dataclass(frozen=True, kw_only=True)
class SweepOrder:
    """The input of a sweep. Default: a dry run of all accounts and Regions. ``spare_hours``: what was judged in so many hours before
    is not judged again."""

    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    dry_run: bool = True
    spare_hours: int = 0


def parse_order(document: object) -> SweepOrder:
    """Parse the input of the state machine. Raises InvalidRequest, which names the field and the accepted values."""
    if not isinstance(document, dict):
        raise InvalidRequest("input", 'takes an object, e.g. {"dry_run": true}')
    unknown = sorted(str(name) for name in document.keys() - {"accounts", "regions", "dry_run", "spare_hours"})
    if unknown:
        raise InvalidRequest(unknown[0][:60], "is no field; known are accounts, regions, dry_run and spare_hours")
    dry_run = document.get("dry_run", True)
    if not isinstance(dry_run, bool):
        raise InvalidRequest("dry_run", "takes true or false")
    spare_hours = document.get("spare_hours", 0)
    if type(spare_hours) is not int or not 0 <= spare_hours <= _LONGEST_SPARED_HOURS:
        raise InvalidRequest("spare_hours", f"takes a whole number of hours from 0 to {_LONGEST_SPARED_HOURS}")
    regions = _texts(document, "regions", LIKE_A_REGION, "Regions")
    for each in regions:
        if (problem := unknown_region(each)) is not None:
            raise InvalidRequest("regions", problem)
    return SweepOrder(
        accounts=_texts(document, "accounts", ACCOUNT, "account ids"),
        regions=regions,
        dry_run=dry_run,
        spare_hours=spare_hours,
    )


def _texts(document: dict[str, Any], name: str, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
    given = document.get(name, [])
    if not isinstance(given, list) or not all(isinstance(each, str) and pattern.fullmatch(each) for each in given):
        raise InvalidRequest(name, f"takes a list of {what}; leave it out for all")
    return tuple(dict.fromkeys(given))
