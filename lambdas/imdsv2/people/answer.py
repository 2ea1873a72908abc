"""The answer to a manual invoke, as JSON-compatible dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import error_code, error_message
from imdsv2.aws.metadata_options import PLANNED_CALL
from imdsv2.domain.documents import evidence_document, options_document
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.texts.words import minute
from imdsv2.domain.verdict import MAY_CHANGE, Decision, Reason
from imdsv2.errors import TargetRefused

if TYPE_CHECKING:
    from imdsv2.domain.request import Request
    from imdsv2.line.judgement import Judgement, Outcomes
    from imdsv2.people.request import JudgementOrder


def answer_document(order: JudgementOrder, outcomes: Outcomes, mode: str) -> dict[str, Any]:
    """The answer to a manual invoke: one result per target, in the order of the request."""
    results = [_result(name, target, outcomes) for name, target in zip(order.names, order.targets, strict=True)]
    return {"dry_run": order.dry_run, "mode": mode, "results": results}


def error_document(code: str, message: str) -> dict[str, Any]:
    """The answer to a manual invoke that is invalid or failed as a whole."""
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
    planned = verdict.decision is Decision.ENFORCE and verdict.reason in MAY_CHANGE
    failed = judgement.status is Status.FAILED
    return {
        "target": name,
        "decision": None if failed else verdict.decision,
        "reason": None if failed else verdict.reason,
        "explanation": f"{verdict.explanation}{_watch(judgement)}",
        "evidence": evidence_document(judgement.evidence),
        "before": options_document(instance.options if instance else None),
        "planned_call": dict(PLANNED_CALL) if planned else None,
        "permitted": judgement.permitted,
        "status": judgement.status,
        "error": dict(judgement.error) if judgement.error else None,
    }


def _watch(judgement: Judgement) -> str:
    """What the ledger knows of an enforcement that stands: since when, and what was refused; nothing where others required tokens."""
    record = judgement.record
    if judgement.verdict.reason is not Reason.ALREADY_REQUIRED or not record.stands or record.enforced_at is None:
        return ""
    since = f" The service required them on {minute(record.enforced_at)}"
    if record.is_broken or record.probe_at is not None:
        return f"{since}. {record.explanation}"
    if record.verified_at is not None:
        return f"{since}, and its watch ended clean on {minute(record.verified_at)}."
    return f"{since}; it is watched, and no refused call is known yet."


def failure_document(name: str, code: str, message: str) -> dict[str, Any]:
    """The entry of a target that could not be evaluated."""
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
