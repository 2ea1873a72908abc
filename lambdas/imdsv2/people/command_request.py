"""Parses people's commands: what each is about, and the fields that it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from imdsv2.errors import InvalidRequest
from imdsv2.people import fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from datetime import date, datetime

    from imdsv2.domain.instance import InstanceArn

_SOURCE = re.compile(r"aws[a-z-]*/\d{12}/[a-z0-9-]{5,30}/[a-z0-9_]{1,40}:.{1,255}", re.ASCII)


class CommandKind(StrEnum):
    """The kind of a command, which is also the name of its field in the event."""

    UNDO = "undo"
    APPROVE = "approve"
    REFUSE = "refuse"
    HOLD = "hold"
    RELEASE = "release"
    CLOSE_BREAKER = "close_breaker"
    CLEAR = "clear"
    ACCEPT = "accept"
    MENDED = "mended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a command applies to: the named instances, or those in the ledger of a cohort or of an account (and Region).
    ``since`` limits these to later enforcements; alone, it applies to all accounts. ``source``: one source that the service changed."""

    targets: tuple[InstanceArn, ...] = ()
    cohort: str | None = None
    account: str | None = None
    region: str | None = None
    since: datetime | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseCommand:
    """What every command says. ``caller`` is None in dry runs only."""

    kind: ClassVar[CommandKind]
    scope: Scope
    dry_run: bool
    caller: str | None
    reason: str | None

    def signed(self, request_id: str) -> str:
        """Who gives the command, and why, as the ledger keeps it; the request id finds the real caller in CloudTrail."""
        signature = f"{self.caller or 'somebody'}, request {request_id}"
        return f"{signature}: {self.reason}" if self.reason else signature


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountedFor(BaseCommand):
    """What an ``owner`` answers for, through its last day."""

    reason: str
    owner: str
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoCommand(BaseCommand):
    kind: ClassVar = CommandKind.UNDO


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveCommand(BaseCommand):
    """``until``: the approval's last day, if the caller named one."""

    kind: ClassVar = CommandKind.APPROVE
    until: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseCommand(BaseCommand):
    kind: ClassVar = CommandKind.REFUSE


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldCommand(AccountedFor):
    kind: ClassVar = CommandKind.HOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseCommand(BaseCommand):
    kind: ClassVar = CommandKind.RELEASE


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseBreakerCommand(BaseCommand):
    kind: ClassVar = CommandKind.CLOSE_BREAKER


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearCommand(BaseCommand):
    """``at``: as of when instances are cleared; None: as of now."""

    kind: ClassVar = CommandKind.CLEAR
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptCommand(AccountedFor):
    kind: ClassVar = CommandKind.ACCEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class MendedCommand(BaseCommand):
    """``at``: when the software was updated and run anew."""

    kind: ClassVar = CommandKind.MENDED
    at: datetime


Command: TypeAlias = (
    UndoCommand
    | ApproveCommand
    | RefuseCommand
    | HoldCommand
    | ReleaseCommand
    | CloseBreakerCommand
    | ClearCommand
    | AcceptCommand
    | MendedCommand
)
"""A validated command."""

_BROAD = frozenset({"targets", "cohort", "account", "region"})
_SCOPES: Mapping[CommandKind, frozenset[str]] = {
    CommandKind.UNDO: _BROAD | {"since", "source"},
    CommandKind.APPROVE: _BROAD,
    CommandKind.REFUSE: _BROAD,
    CommandKind.HOLD: frozenset({"targets"}),
    CommandKind.RELEASE: frozenset({"targets"}),
    CommandKind.CLOSE_BREAKER: frozenset({"account"}),
    CommandKind.CLEAR: _BROAD,
    CommandKind.ACCEPT: frozenset({"targets"}),
    CommandKind.MENDED: frozenset({"targets", "cohort"}),
}
_SAID_BY_ALL = frozenset({"reason"})
_EXTRAS: Mapping[CommandKind, frozenset[str]] = {
    CommandKind.APPROVE: frozenset({"until"}),
    CommandKind.HOLD: frozenset({"owner", "until"}),
    CommandKind.ACCEPT: frozenset({"owner", "until"}),
    CommandKind.CLEAR: frozenset({"at"}),
    CommandKind.MENDED: frozenset({"at"}),
}


def parse_command(event: Mapping[str, Any], kind: CommandKind) -> Command:
    """Parse a command. Raises InvalidRequest, which names the field."""
    said = _SAID_BY_ALL | _EXTRAS.get(kind, frozenset())
    fields.refuse_unknown(event, {kind, "dry_run", "caller"} | said)
    event = _with_fields_beside(event, kind, said)
    scope = _scope(event[kind], kind, said)
    dry_run = fields.flag(event, "dry_run", default=True)
    if not dry_run:
        fields.require_caller(event.get("caller"))
    given = {
        "scope": scope,
        "dry_run": dry_run,
        "caller": fields.text(event, "caller"),
        "reason": fields.text(event, "reason"),
    }
    return _command(kind, event, given)


def _command(kind: CommandKind, event: Mapping[str, Any], given: Mapping[str, Any]) -> Command:
    """The command of a kind, with what it takes beside what was ``given``."""
    match kind:
        case CommandKind.UNDO:
            return UndoCommand(**given)
        case CommandKind.APPROVE:
            return ApproveCommand(**given, until=fields.day(event, "until"))
        case CommandKind.REFUSE:
            return RefuseCommand(**given)
        case CommandKind.HOLD:
            return HoldCommand(**_accounted_for(event, given))
        case CommandKind.RELEASE:
            return ReleaseCommand(**given)
        case CommandKind.CLOSE_BREAKER:
            return CloseBreakerCommand(**given)
        case CommandKind.CLEAR:
            return ClearCommand(**given, at=fields.moment(event, "at"))
        case CommandKind.ACCEPT:
            return AcceptCommand(**_accounted_for(event, given))
        case CommandKind.MENDED:
            return MendedCommand(**given, at=fields.needed_moment(event, "at"))


def _accounted_for(event: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, with why, who answers for it, and until when: these are needed."""
    named = {name: fields.needed_text(event, name) for name in ("reason", "owner")}
    return {**given, **named, "until": fields.needed_day(event, "until")}


def _with_fields_beside(event: Mapping[str, Any], kind: CommandKind, said: AbstractSet[str]) -> Mapping[str, Any]:
    """The event with the command's fields beside its selection, where they may stand as well as in it. Raises InvalidRequest for one
    that stands in both: which is meant cannot be guessed."""
    given = event[kind]
    if not isinstance(given, dict):
        return event
    inside = {name: value for name, value in given.items() if name in said}
    for name in sorted(inside.keys() & event.keys()):
        raise InvalidRequest(f"{kind}.{name}", f"stands beside {kind} as well; give it once")
    return {**event, kind: {name: value for name, value in given.items() if name not in said}, **inside}


def _scope(given: object, kind: CommandKind, said: AbstractSet[str]) -> Scope:
    """What is selected. ``said``: the fields that have been taken out of it."""
    takes, path = _SCOPES[kind], f"{kind}."
    example = '{"account": "222222222222"}' if "account" in takes else '{"targets": ["arn:aws:ec2:..."]}'
    if not isinstance(given, dict) or not given:
        raise InvalidRequest(kind, f"takes an object with {' or '.join(sorted(takes))}, e.g. {example}")
    fields.refuse_unknown_in(given, takes, path, also=said)
    if "region" in given and "account" not in given:
        raise InvalidRequest(f"{path}region", "needs account beside it")
    if len(given.keys() & {"targets", "cohort", "account"}) > 1:
        raise InvalidRequest(kind, "takes one of targets, cohort and account")
    if "source" in given and len(given) > 1:
        raise InvalidRequest(f"{path}source", "names one source; leave out the other fields")
    return Scope(
        targets=fields.instances(given, path) if "targets" in given else (),
        cohort=fields.matching(given, "cohort", path, fields.COHORT, "a cohort as the ledger names it"),
        account=fields.account(given, path),
        region=fields.region(given, path),
        since=fields.moment(given, "since", path),
        source=fields.matching(given, "source", path, _SOURCE, "a source as the answer to sources names it"),
    )
