"""Parses single fields of manual invokes. Each function raises InvalidRequest, which names the field."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from imdsv2.domain.cohort import KINDS
from imdsv2.domain.instance import ACCOUNT, InstanceArn, Place, partition_of
from imdsv2.domain.node import shown
from imdsv2.domain.regions import LIKE_A_REGION, unknown_region, wrong_partition
from imdsv2.errors import InvalidRequest, TargetRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

TARGETS_A_CALL = 500

COHORT = re.compile(r"aws[a-z-]*/\d{12}/[a-z0-9-]{5,30}/(" + "|".join(KINDS) + r"):.{1,600}", re.ASCII)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def flag(event: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = event.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(name, f"takes true or false, not {shown(value)}")
    return value


def text(event: Mapping[str, Any], name: str) -> str | None:
    """A text; None if there is none."""
    return None if event.get(name) is None else needed_text(event, name)


def needed_text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not (isinstance(value, str) and 1 <= len(value) <= 256 and value.isprintable()):
        raise InvalidRequest(name, "takes a text of 1 to 256 printable characters")
    return value


def day(event: Mapping[str, Any], name: str) -> date | None:
    """A date; None if there is none."""
    return None if event.get(name) is None else needed_day(event, name)


def needed_day(event: Mapping[str, Any], name: str) -> date:
    value = event.get(name)
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:  # Not a valid day of its month.
        pass
    raise InvalidRequest(name, f"takes a date, YYYY-MM-DD, not {shown(value)}")


def moment(given: Mapping[str, Any], name: str, path: str = "") -> datetime | None:
    """A time in UTC; None if the field is absent. ``path`` precedes the field's name in errors."""
    return needed_moment(given, name, path) if name in given else None


def needed_moment(given: Mapping[str, Any], name: str, path: str = "") -> datetime:
    """As `moment`, of a field that must be there."""
    value = given.get(name)
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else None
        if when is not None and when.tzinfo is not None:
            return when.astimezone(UTC)
    except (ValueError, OverflowError):  # Not a time, or outside datetime's range in UTC.
        pass
    raise InvalidRequest(f"{path}{name}", f"takes a time with its zone, e.g. 2026-11-01T00:00:00Z, not {shown(value)}")


def matching(given: Mapping[str, Any], name: str, path: str, pattern: re.Pattern[str], takes: str) -> str | None:
    """A text of a known form; None if the field is absent."""
    if name not in given:
        return None
    value = given[name]
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise InvalidRequest(f"{path}{name}", f"takes {takes}, not {shown(value)}")
    return value


def account(given: Mapping[str, Any], path: str) -> str | None:
    """The id of an account; None if the field is absent."""
    return matching(given, "account", path, ACCOUNT, "an account id of 12 digits")


def region(given: Mapping[str, Any], path: str) -> str | None:
    """A Region of AWS; None if the field is absent."""
    name = matching(given, "region", path, LIKE_A_REGION, "a Region")
    if name is not None and (problem := unknown_region(name)) is not None:
        raise InvalidRequest(f"{path}region", problem)
    return name


def places(given: Mapping[str, Any], name: str, most: int, path: str = "") -> tuple[Place, ...]:
    """Accounts and Regions, each once; none if the field is absent."""
    listed = given.get(name, [])
    if not isinstance(listed, list) or len(listed) > most:
        raise InvalidRequest(f"{path}{name}", f"takes a list of up to {most} objects of account and region")
    return tuple(dict.fromkeys(_place(each, f"{path}{name}[{number}]") for number, each in enumerate(listed)))


def _place(given: object, path: str) -> Place:
    example = '{"account": "222222222222", "region": "eu-west-1"}'
    if not isinstance(given, dict) or given.keys() != {"account", "region"}:
        raise InvalidRequest(path, f"takes an object, e.g. {example}")
    number, there = account(given, f"{path}."), region(given, f"{path}.")
    if number is None or there is None:
        raise InvalidRequest(path, f"takes an object, e.g. {example}")
    return Place(partition_of(there), there, number)


def instance(target: object) -> InstanceArn | TargetRefused:
    """The instance that a target names, or why it names none. Raises nothing."""
    try:
        if isinstance(target, str):
            arn = InstanceArn.parse(target)
        elif _is_triple(target):
            arn = InstanceArn.of(**target)
        else:
            raise ValueError("takes an instance ARN or an object of account, region and instance_id")
    except ValueError as error:
        return TargetRefused("target", f"{error}, not {shown(target)}")
    problem = unknown_region(arn.region) or wrong_partition(arn.partition, arn.region)
    return TargetRefused("target", problem) if problem is not None else arn


def instances(given: Mapping[str, Any], path: str) -> tuple[InstanceArn, ...]:
    """The instances of ``targets``, without duplicates; one that is invalid refuses all."""
    arns = []
    for target in list_of_targets(given, path):
        read = instance(target)
        if isinstance(read, TargetRefused):
            raise InvalidRequest(f"{path}targets", read.problem)
        arns.append(read)
    return tuple(dict.fromkeys(arns))


def list_of_targets(given: Mapping[str, Any], path: str = "") -> list[object]:
    targets = given.get("targets")
    if not isinstance(targets, list) or not 1 <= len(targets) <= TARGETS_A_CALL:
        raise InvalidRequest(
            f"{path}targets",
            f"takes a list of 1 to {TARGETS_A_CALL} instance ARNs or account/region/instance_id objects",
        )
    return targets


def refuse_unknown(event: Mapping[str, Any], known: AbstractSet[str]) -> None:
    """Raises InvalidRequest if there is a field that is not ``known``."""
    unknown = sorted(str(key) for key in event.keys() - known)
    if unknown:
        *others, last = sorted(known)
        raise InvalidRequest(shown(unknown[0]), f"is no field; known are {', '.join(others)} and {last}")


def refuse_unknown_in(
    given: Mapping[str, Any], takes: AbstractSet[str], path: str, also: AbstractSet[str] = frozenset()
) -> None:
    """Raises InvalidRequest for the first field inside a command that it does not take. ``also``: what the command takes beside these,
    and what has been taken out of ``given``."""
    for name in given:
        if name not in takes:
            known = ", ".join(sorted(takes | also))
            raise InvalidRequest(f"{path}{shown(name)}", f"is no field; known are {known}")


def require_caller(caller: object) -> None:
    """Raises InvalidRequest if nobody answers for what is not a dry run."""
    if caller is None:
        raise InvalidRequest("caller", "is needed with dry_run: false, and says who answers for it; takes a text")


def _is_triple(target: object) -> TypeGuard[dict[str, str]]:
    return (
        isinstance(target, dict)
        and target.keys() == {"account", "region", "instance_id"}
        and all(isinstance(part, str) for part in target.values())
    )
