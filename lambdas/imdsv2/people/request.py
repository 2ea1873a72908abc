"""Parses manual invokes: orders to evaluate instances, commands, and the questions where instances come from and which there are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from imdsv2.domain.node import shown
from imdsv2.domain.request import Request, Source
from imdsv2.errors import InvalidRequest, TargetRefused
from imdsv2.people import fields
from imdsv2.people.culprit.request import CULPRIT, CulpritQuestion, parse_culprit
from imdsv2.people.find_request import FIND, FindQuestion, parse_find
from imdsv2.people.graduation.guardrail_request import GUARDRAILS, GuardrailQuestion, parse_guardrails
from imdsv2.people.graduation.request import GRADUATE, GraduationOrder, parse_graduate
from imdsv2.people.sources.image_request import IMAGES, ImageOrder, parse_images
from imdsv2.people.sources.request import SOURCES, SourceQuestion, parse_sources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from datetime import date, datetime

    from imdsv2.domain.instance import InstanceArn

_SOURCE = re.compile(r"aws[a-z-]*/\d{12}/[a-z0-9-]{5,30}/[a-z0-9_]{1,40}:.{1,255}", re.ASCII)
_CLEAR = '{"clear": {"targets": ["arn:aws:ec2:..."]}, "dry_run": true}'


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementOrder:
    """A validated order: for each target, the request or the reason why it is invalid."""

    targets: tuple[Request | TargetRefused, ...]
    names: tuple[str, ...]
    dry_run: bool


def parse_order(event: object) -> JudgementOrder:
    """Parse an order. Raises InvalidRequest, which names the field; an invalid target is refused individually."""
    if not isinstance(event, dict):
        raise InvalidRequest("event", 'takes an object, e.g. {"targets": ["arn:aws:ec2:..."], "dry_run": true}')
    if "clear" in event:
        raise InvalidRequest("clear", f"is a command of its own, no field beside targets; use {_CLEAR}")
    if "targets" not in event:
        _refuse_unknown_command(event)
    fields.refuse_unknown(event, {"targets", "dry_run", "caller"})
    targets = fields.list_of_targets(event)
    dry_run = fields.flag(event, "dry_run", default=True)
    caller = fields.text(event, "caller", required=False)
    return JudgementOrder(
        targets=tuple(_asked(target, caller) for target in targets),
        names=tuple(_name(target) for target in targets),
        dry_run=dry_run,
    )


def _refuse_unknown_command(event: Mapping[str, Any]) -> None:
    """Raises InvalidRequest for the first field that nothing takes: it was meant to be a command or a question."""
    questions = (SOURCES, FIND, IMAGES, GRADUATE, GUARDRAILS, CULPRIT)
    known = sorted({*map(str, CommandKind), *questions})
    unknown = sorted(str(name) for name in event.keys() - {"dry_run", "caller", "reason", "owner", "until", "at"})
    if unknown:
        likely = get_close_matches(unknown[0].lower(), known, n=1)
        meant = f"did you mean {likely[0]}? " if likely else ""
        raise InvalidRequest(
            shown(unknown[0]), f"is no command; {meant}Known are {', '.join(known)}, and targets to judge instances"
        )


def _asked(target: object, caller: str | None) -> Request | TargetRefused:
    read = fields.instance(target)
    return read if isinstance(read, TargetRefused) else Request(arn=read, source=Source.MANUAL, caller=caller)


def _name(target: object) -> str:
    """The target's name in the answer: its ARN, or the input if it is invalid."""
    read = fields.instance(target)
    if not isinstance(read, TargetRefused):
        return str(read)
    # Lone surrogates cannot be sent back: Lambda's response is UTF-8.
    return target.encode(errors="backslashreplace").decode()[:200] if isinstance(target, str) else shown(target)


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
class Command:
    """A validated command. ``caller`` is None in dry runs only. ``at``: when instances were mended, or as of when they
    are cleared."""

    kind: CommandKind
    scope: Scope
    dry_run: bool
    caller: str | None
    reason: str | None = None
    owner: str | None = None
    until: date | None = None
    at: datetime | None = None

    def signed(self, request_id: str) -> str:
        """Who gives the command, and why, as the ledger keeps it; the request id finds the real caller in CloudTrail."""
        signature = f"{self.caller or 'somebody'}, request {request_id}"
        return f"{signature}: {self.reason}" if self.reason else signature


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
_ACCOUNTED_FOR = frozenset({CommandKind.HOLD, CommandKind.ACCEPT})
"""Commands that require ``reason``, ``owner`` and ``until``."""


Asked: TypeAlias = (
    JudgementOrder
    | Command
    | SourceQuestion
    | FindQuestion
    | ImageOrder
    | GuardrailQuestion
    | GraduationOrder
    | CulpritQuestion
)
"""What a manual invoke may ask."""


def parse(event: object) -> Asked:
    """Parse a manual invoke. Raises InvalidRequest, which names the field."""
    if not isinstance(event, dict):
        return parse_order(event)
    if SOURCES in event:
        return parse_sources(event)
    if FIND in event:
        return parse_find(event)
    if IMAGES in event:
        return parse_images(event)
    if GRADUATE in event:
        return parse_graduate(event)
    if GUARDRAILS in event:
        return parse_guardrails(event)
    if CULPRIT in event:
        return parse_culprit(event)
    named = sorted(event.keys() & set(CommandKind))
    # `clear` beside targets is what earlier versions took; its refusal says what to send instead.
    if not named or (
        named == [CommandKind.CLEAR] and "targets" in event and not isinstance(event[CommandKind.CLEAR], dict)
    ):
        return parse_order(event)
    return _command(event, CommandKind(named[0]))


def _command(event: Mapping[str, Any], kind: CommandKind) -> Command:
    said, accounted_for = _SAID_BY_ALL | _EXTRAS.get(kind, frozenset()), kind in _ACCOUNTED_FOR
    fields.refuse_unknown(event, {kind, "dry_run", "caller"} | said)
    event = _with_fields_beside(event, kind, said)
    scope = _scope(event[kind], kind, said)
    dry_run = fields.flag(event, "dry_run", default=True)
    if not dry_run:
        fields.require_caller(event.get("caller"))
    return Command(
        kind=kind,
        scope=scope,
        dry_run=dry_run,
        caller=fields.text(event, "caller", required=False),
        reason=fields.text(event, "reason", required=accounted_for),
        owner=fields.text(event, "owner", required=accounted_for),
        until=fields.day(event, "until", required=accounted_for),
        at=fields.moment(event, "at", required=kind is CommandKind.MENDED),
    )


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
