"""Parses manual invokes: orders to evaluate instances, commands, and the questions where instances come from and which there are."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

from imdsv2.domain.node import shown
from imdsv2.domain.request import Request, Source
from imdsv2.errors import InvalidRequest, TargetRefused
from imdsv2.people import fields
from imdsv2.people.command_request import Command, CommandKind, parse_command
from imdsv2.people.culprit.request import CULPRIT, CulpritQuestion, parse_culprit
from imdsv2.people.find_request import FIND, FindQuestion, parse_find
from imdsv2.people.graduation.guardrail_request import GUARDRAILS, GuardrailQuestion, parse_guardrails
from imdsv2.people.graduation.request import GRADUATE, GraduationOrder, parse_graduate
from imdsv2.people.sources.image_request import IMAGES, ImageOrder, parse_images
from imdsv2.people.sources.request import SOURCES, SourceQuestion, parse_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    caller = fields.text(event, "caller")
    return JudgementOrder(
        targets=tuple(_asked(target, caller) for target in targets),
        names=tuple(_name(target) for target in targets),
        dry_run=dry_run,
    )


def _refuse_unknown_command(event: Mapping[str, Any]) -> None:
    """Raises InvalidRequest for the first field that nothing takes: it was meant to be a command or a question."""
    known = sorted({*map(str, CommandKind), *_QUESTIONS})
    unknown = sorted(str(name) for name in event.keys() - {"dry_run", "caller", "reason", "owner", "until", "at"})
    if unknown:
        likely = get_close_matches(unknown[0].lower(), [*known, "targets"], n=1)
        meant = f"; did you mean {likely[0]}?" if likely else "."
        raise InvalidRequest(
            shown(unknown[0]), f"is no command{meant} Known are {', '.join(known)}, and targets to judge instances"
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

_QUESTIONS: Mapping[str, Callable[[Mapping[str, Any]], Asked]] = {
    SOURCES: parse_sources,
    FIND: parse_find,
    IMAGES: parse_images,
    GRADUATE: parse_graduate,
    GUARDRAILS: parse_guardrails,
    CULPRIT: parse_culprit,
}
"""What parses a question, or an order of its own, by the name of its field."""


def parse(event: object) -> Asked:
    """Parse a manual invoke. Raises InvalidRequest, which names the field."""
    if not isinstance(event, dict):
        return parse_order(event)
    for name, parse_question in _QUESTIONS.items():
        if name in event:
            return parse_question(event)
    named = sorted(event.keys() & set(CommandKind))
    # `clear` beside targets is what earlier versions took; its refusal says what to send instead.
    if not named or (
        named == [CommandKind.CLEAR] and "targets" in event and not isinstance(event[CommandKind.CLEAR], dict)
    ):
        return parse_order(event)
    return parse_command(event, CommandKind(named[0]))
