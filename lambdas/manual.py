"""Handler of the manual function: people's requests and commands. Dry run by default; never returns a stack trace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2 import telemetry
from imdsv2.domain.request import Request
from imdsv2.errors import InvalidRequest
from imdsv2.people.answer import answer_document, error_document
from imdsv2.people.command_request import BaseCommand
from imdsv2.people.culprit.request import CulpritQuestion
from imdsv2.people.find_request import FindQuestion
from imdsv2.people.graduation.guardrail_request import GuardrailQuestion
from imdsv2.people.graduation.request import GraduationOrder
from imdsv2.people.request import JudgementOrder, parse
from imdsv2.people.sources.image_request import ImageOrder
from imdsv2.people.sources.request import SourceQuestion
from imdsv2.wiring.function import wire
from imdsv2.wiring.people import (
    build_culprits,
    build_finder,
    build_graduates,
    build_guardrails,
    build_images,
    build_people,
    build_source_fixing,
    build_sources,
)
from invocation import logger, metrics, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from imdsv2.people.command_request import Command
    from imdsv2.people.request import Asked

function = wire(os.environ, logger, request_id)
service = function.service
people = build_people(service)

_STOP_BEFORE_END_MS = 180_000
"""An undo starts no batch in the last three minutes; the guard finishes it."""


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Answer a manual invoke: an order, a command or one of the questions."""
    function.begin(context.get_remaining_time_in_millis())
    try:
        return _answer(parse(event), context)
    except InvalidRequest as refused:
        return error_document(refused.code, str(refused))
    except Exception:  # noqa: BLE001 - a person gets a sentence; the trace is in the log
        logger.exception("manual invoke failed")
        return error_document(
            "InternalError", f"The request failed; its log has the id {context.aws_request_id}. Try it again."
        )


def _answer(asked: Asked, context: LambdaContext) -> dict[str, Any]:
    match asked:
        case JudgementOrder():
            return _judge(asked, context.aws_request_id)
        case BaseCommand():
            return _carry_out(asked, context)
        case SourceQuestion():
            return _fix_sources(asked, context) if asked.fix else _tell_sources(asked)
        case FindQuestion():
            return build_finder(service).answer(asked)
        case ImageOrder():
            return _change_images(asked, context.aws_request_id)
        case GraduationOrder():
            return _graduate(asked, context.aws_request_id)
        case GuardrailQuestion():
            return _tell_guardrails(asked)
        case CulpritQuestion():
            return _tell_culprits(asked)


def _carry_out(command: Command, context: LambdaContext) -> dict[str, Any]:
    answer = people.carry_out(
        command, context.aws_request_id, lambda: context.get_remaining_time_in_millis() > _STOP_BEFORE_END_MS
    )
    told = {"command": command.kind, "caller": command.caller, "dry_run": command.dry_run, "count": answer["count"]}
    logger.info("command carried out", extra=told)
    return answer


def _tell_sources(question: SourceQuestion) -> dict[str, Any]:
    answer = build_sources(service).answer(question)
    told = {"count": answer["count"], "problems": len(answer["problems"]), "principals": question.principals}
    logger.info("sources answered", extra=told)
    return answer


def _change_images(order: ImageOrder, request_id: str) -> dict[str, Any]:
    answer = build_images(service).carry_out(order, request_id)
    told = {"command": "images", "caller": order.caller, "dry_run": order.dry_run, "count": answer["count"]}
    logger.info("command carried out", extra=told)
    return answer


def _fix_sources(question: SourceQuestion, context: LambdaContext) -> dict[str, Any]:
    answer = build_source_fixing(service).answer(
        question, context.aws_request_id, lambda: context.get_remaining_time_in_millis() > _STOP_BEFORE_END_MS
    )
    ended = [each["fix"]["status"] for each in answer["results"]]
    told = {"count": answer["count"], "caller": question.caller, "dry_run": question.dry_run, "ended": ended}
    logger.info("sources changed", extra=told)
    return answer


def _graduate(asked: GraduationOrder, request_id: str) -> dict[str, Any]:
    answer = build_graduates(service).carry_out(asked, request_id)
    told = {name: answer[name] for name in ("account", "region", "result", "count", "dry_run")}
    logger.info("graduation answered", extra={**told, "caller": asked.caller})
    return answer


def _tell_guardrails(question: GuardrailQuestion) -> dict[str, Any]:
    answer = build_guardrails(service).answer(question)
    logger.info("guardrails answered", extra={"count": answer["count"], "problems": len(answer["problems"])})
    return answer


def _tell_culprits(question: CulpritQuestion) -> dict[str, Any]:
    answer = build_culprits(service).answer(question)
    named = sum(bool(each["callers"] or each["suspects"]) for each in answer["results"])
    logger.info("culprits answered", extra={"count": answer["count"], "named": named, "caller": question.caller})
    return answer


def _judge(order: JudgementOrder, request_id: str) -> dict[str, Any]:
    line = service.line
    requests = [target for target in order.targets if isinstance(target, Request)]
    outcomes = line.run(requests, request_id, dry_run=order.dry_run)
    in_force = line.policies.current(line.now())
    telemetry.report(outcomes, in_force, logger, metrics, dry_run=order.dry_run)
    return answer_document(order, outcomes, in_force.policy.mode)
