"""The documents that other programs read: evidence and options as JSON values, and the answer to a manual invoke."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.action import PLANNED_CALL
from imdsv2.aws import error_code, error_message
from imdsv2.errors import TargetRefused
from imdsv2.model import Decision, Reason, Status

if TYPE_CHECKING:
    from imdsv2.judgement import Judgement, Outcomes
    from imdsv2.model import Evidence, MetadataOptions, Request
    from imdsv2.orders import Order


def evidence_document(evidence: Evidence | None) -> dict[str, Any] | None:
    """The evidence in the contract's words, times in UTC to the second."""
    if evidence is None:
        return None
    return {
        "window_start": to_seconds(evidence.window_start),
        "window_end": to_seconds(evidence.window_end),
        "tokenless_calls": evidence.tokenless_calls,
        "last_tokenless_call": to_seconds(evidence.last_tokenless_call),
        "boot_observed": evidence.boot_observed,
        "boot_tokenless_calls": evidence.boot_tokenless_calls,
        "observed_hours": evidence.observed_hours,
        "coverage": round(evidence.coverage, 4),
        "period_seconds": evidence.period_seconds,
    }


def options_document(options: MetadataOptions | None) -> dict[str, Any] | None:
    """Metadata options under EC2's own names."""
    if options is None:
        return None
    return {
        "HttpTokens": options.http_tokens,
        "HttpPutResponseHopLimit": options.hop_limit,
        "HttpEndpoint": options.http_endpoint,
    }


def answer_document(order: Order, outcomes: Outcomes, mode: str) -> dict[str, Any]:
    """The answer to a manual invoke: a result for each target, in the order asked."""
    results = [_result(name, target, outcomes) for name, target in zip(order.names, order.targets, strict=True)]
    return {"dry_run": order.dry_run, "mode": mode, "results": results}


def error_document(code: str, message: str) -> dict[str, Any]:
    """The answer to a manual invoke that could not be understood or carried out as a whole."""
    return {"error": {"code": code, "message": message}}


def _result(name: str, target: Request | TargetRefused, outcomes: Outcomes) -> dict[str, Any]:
    if isinstance(target, TargetRefused):
        return failure_document(name, target.code, str(target))
    failure = outcomes.failed.get(target.arn)
    if failure is not None:
        return failure_document(name, error_code(failure), error_message(failure))
    return result_document(name, outcomes.judged[target.arn])


def result_document(name: str, judgement: Judgement) -> dict[str, Any]:
    """One entry of ``results`` in the answer to a manual invoke."""
    verdict, instance = judgement.verdict, judgement.instance
    planned = verdict.decision is Decision.ENFORCE and verdict.reason is Reason.UNUSED
    failed = judgement.status is Status.FAILED or (
        judgement.error is not None and judgement.error["code"] == "InProgress"
    )
    return {
        "target": name,
        "decision": None if failed else verdict.decision,
        "reason": None if failed else verdict.reason,
        "explanation": verdict.explanation,
        "evidence": evidence_document(judgement.evidence),
        "before": options_document(instance.options if instance else None),
        "planned_call": dict(PLANNED_CALL) if planned else None,
        "permitted": judgement.permitted,
        "status": judgement.status,
        "error": dict(judgement.error) if judgement.error else None,
    }


def failure_document(name: str, code: str, message: str) -> dict[str, Any]:
    """The entry of a target that could not be judged at all."""
    return {
        "target": name,
        "decision": None,
        "reason": None,
        "explanation": message,
        "evidence": None,
        "before": None,
        "planned_call": None,
        "permitted": None,
        "status": None,
        "error": {"code": code, "message": message},
    }


def to_seconds(when: datetime | None) -> str | None:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if when else None
