"""Parses manual invokes: orders to evaluate instances, and commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeGuard

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.request import Request, Source
from imdsv2.errors import InvalidRequest, TargetRefused
from imdsv2.line.events import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

TARGETS_A_CALL = 500

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", re.ASCII)
_COHORT = re.compile(r"aws[a-z-]*/\d{12}/[a-z0-9-]{5,30}/(group|template|image|instance):.{1,255}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A validated order: for each target, the request or the reason why it is invalid."""

    targets: tuple[Request | TargetRefused, ...]
    names: tuple[str, ...]
    dry_run: bool


def parse_order(event: object) -> Order:
    """Parse an order. Raises InvalidRequest, which names the field; an invalid target is refused individually."""
    if not isinstance(event, dict):
        raise InvalidRequest("event", 'takes an object, e.g. {"targets": ["arn:aws:ec2:..."], "dry_run": true}')
    _refuse_unknown(event, {"targets", "dry_run", "clear", "caller"})
    targets = _list_of_targets(event)
    dry_run = _flag(event, "dry_run", default=True)
    clear = _flag(event, "clear", default=False)
    if clear and dry_run:
        raise InvalidRequest("clear", "takes effect only together with dry_run: false")
    caller = _text(event, "caller", required=False)
    return Order(
        targets=tuple(_target(target, clear=clear, caller=caller) for target in targets),
        names=tuple(_name(target) for target in targets),
        dry_run=dry_run,
    )


def _flag(event: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = event.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(name, f"takes true or false, not {shown(value)}")
    return value


def _target(target: object, *, clear: bool, caller: str | None) -> Request | TargetRefused:
    try:
        if isinstance(target, str):
            arn = InstanceArn.parse(target)
        elif _is_triple(target):
            arn = InstanceArn.of(**target)
        else:
            raise ValueError("takes an instance ARN or an object of account, region and instance_id")
    except ValueError as error:
        return TargetRefused("target", f"{error}, not {shown(target)}")
    return Request(arn=arn, source=Source.MANUAL, clear=clear, caller=caller)


def _is_triple(target: object) -> TypeGuard[dict[str, str]]:
    return (
        isinstance(target, dict)
        and target.keys() == {"account", "region", "instance_id"}
        and all(isinstance(part, str) for part in target.values())
    )


def _name(target: object) -> str:
    """The target's name in the answer: its ARN, or the input if it is invalid."""
    read = _target(target, clear=False, caller=None)
    if isinstance(read, Request):
        return str(read.arn)
    # Lone surrogates cannot be sent back: Lambda's response is UTF-8.
    return target.encode(errors="backslashreplace").decode()[:200] if isinstance(target, str) else shown(target)


class Steer(StrEnum):
    """The kind of a command, which is also the name of its field in the event."""

    UNDO = "undo"
    APPROVE = "approve"
    REFUSE = "refuse"
    HOLD = "hold"
    RELEASE = "release"
    CLOSE_BREAKER = "close_breaker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a command applies to: the named instances, or those in the ledger of a cohort or of an account (and Region).
    ``since`` limits these to later enforcements; alone, it applies to all accounts."""

    targets: tuple[InstanceArn, ...] = ()
    cohort: str | None = None
    account: str | None = None
    region: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A validated command."""

    steer: Steer
    scope: Scope
    dry_run: bool
    caller: str | None
    reason: str | None = None
    owner: str | None = None
    until: date | None = None


_SCOPES: Mapping[Steer, frozenset[str]] = {
    Steer.UNDO: frozenset({"targets", "cohort", "account", "region", "since"}),
    Steer.APPROVE: frozenset({"targets", "cohort", "account", "region"}),
    Steer.REFUSE: frozenset({"targets", "cohort", "account", "region"}),
    Steer.HOLD: frozenset({"targets"}),
    Steer.RELEASE: frozenset({"targets"}),
    Steer.CLOSE_BREAKER: frozenset({"account"}),
}
_EXTRAS: Mapping[Steer, frozenset[str]] = {
    Steer.APPROVE: frozenset({"until"}),
    Steer.HOLD: frozenset({"reason", "owner", "until"}),
}
_BY_NAME = frozenset({Steer.APPROVE, Steer.REFUSE, Steer.CLOSE_BREAKER})
"""Commands that require ``caller``."""


def parse(event: object) -> Order | Command:
    """Parse a manual invoke. Raises InvalidRequest, which names the field."""
    if isinstance(event, dict) and (named := sorted(event.keys() & set(Steer))):
        return _command(event, Steer(named[0]))
    return parse_order(event)


def _command(event: Mapping[str, Any], steer: Steer) -> Command:
    extras = _EXTRAS.get(steer, frozenset())
    _refuse_unknown(event, {steer, "dry_run", "caller"} | extras)
    return Command(
        steer=steer,
        scope=_scope(event[steer], steer),
        dry_run=_flag(event, "dry_run", default=True),
        caller=_text(event, "caller", required=steer in _BY_NAME),
        reason=_text(event, "reason", required=steer is Steer.HOLD),
        owner=_text(event, "owner", required=steer is Steer.HOLD),
        until=_day(event, "until", required=steer is Steer.HOLD),
    )


def _scope(given: object, steer: Steer) -> Scope:
    takes = _SCOPES[steer]
    example = '{"account": "222222222222"}' if "account" in takes else '{"targets": ["arn:aws:ec2:..."]}'
    if not isinstance(given, dict) or not given:
        raise InvalidRequest(steer, f"takes an object with {' or '.join(sorted(takes))}, e.g. {example}")
    for name in given:
        if name not in takes:
            raise InvalidRequest(f"{steer}.{shown(name)}", f"is no field; known are {', '.join(sorted(takes))}")
    if "region" in given and "account" not in given:
        raise InvalidRequest(f"{steer}.region", "needs account beside it")
    if len(given.keys() & {"targets", "cohort", "account"}) > 1:
        raise InvalidRequest(steer, "takes one of targets, cohort and account")
    return Scope(
        targets=_named(given, steer) if "targets" in given else (),
        cohort=_matching(given, steer, "cohort", _COHORT, "a cohort as the ledger names it"),
        account=_matching(given, steer, "account", _ACCOUNT, "an account id of 12 digits"),
        region=_matching(given, steer, "region", _REGION, "a Region"),
        since=_moment(given, steer),
    )


def _named(given: dict[str, Any], steer: Steer) -> tuple[InstanceArn, ...]:
    arns = []
    for target in _list_of_targets(given, f"{steer}."):
        read = _target(target, clear=False, caller=None)
        if isinstance(read, TargetRefused):
            raise InvalidRequest(f"{steer}.targets", read.problem)
        arns.append(read.arn)
    return tuple(dict.fromkeys(arns))


def _matching(given: Mapping[str, Any], steer: Steer, name: str, pattern: re.Pattern[str], takes: str) -> str | None:
    if name not in given:
        return None
    value = given[name]
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise InvalidRequest(f"{steer}.{name}", f"takes {takes}, not {shown(value)}")
    return value


def _moment(given: Mapping[str, Any], steer: Steer) -> datetime | None:
    if "since" not in given:
        return None
    value = given["since"]
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else None
        if when is not None and when.tzinfo is not None:
            return when.astimezone(UTC)
    except (ValueError, OverflowError):  # Not a time, or outside datetime's range in UTC.
        pass
    raise InvalidRequest(f"{steer}.since", f"takes a time with its zone, e.g. 2026-11-01T00:00:00Z, not {shown(value)}")


def _day(event: Mapping[str, Any], name: str, *, required: bool) -> date | None:
    value = event.get(name)
    if value is None and not required:
        return None
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:  # Not a valid day of its month.
        pass
    raise InvalidRequest(name, f"takes a date, YYYY-MM-DD, not {shown(value)}")


def _text(event: Mapping[str, Any], name: str, *, required: bool) -> str | None:
    value = event.get(name)
    if value is None and not required:
        return None
    if not (isinstance(value, str) and 1 <= len(value) <= 256 and value.isprintable()):
        raise InvalidRequest(name, "takes a text of 1 to 256 printable characters")
    return value


def _refuse_unknown(event: Mapping[str, Any], known: AbstractSet[str]) -> None:
    unknown = sorted(str(key) for key in event.keys() - known)
    if unknown:
        *others, last = sorted(known)
        raise InvalidRequest(shown(unknown[0]), f"is no field; known are {', '.join(others)} and {last}")


def _list_of_targets(given: Mapping[str, Any], path: str = "") -> list[object]:
    targets = given.get("targets")
    if not isinstance(targets, list) or not 1 <= len(targets) <= TARGETS_A_CALL:
        raise InvalidRequest(
            f"{path}targets",
            f"takes a list of 1 to {TARGETS_A_CALL} instance ARNs or account/region/instance_id objects",
        )
    return targets
