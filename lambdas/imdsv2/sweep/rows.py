"""Rows of the file of the fleet: what EC2 shows of an instance, and what was judged of it or the ledger knows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.documents import evidence_document, to_seconds
from imdsv2.domain.lifecycle import OURS, Status
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.source.origin import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imdsv2.domain.instance import Instance
    from imdsv2.ledger.record import Record
    from imdsv2.line.judgement import Judgement

Row = dict[str, str]


def facts_of(instance: Instance, cohort: str | None, owner_tag: str) -> Row:
    """What EC2 shows of an instance."""
    arn, options = instance.arn, instance.options
    return {
        "account": arn.account,
        "region": arn.region,
        "instance_id": arn.instance_id,
        "name": instance.tags.get("Name", ""),
        "owner": instance.tags.get(owner_tag, ""),
        "cohort": cohort or "",
        "source": source_of(instance),
        "image": instance.image_id,
        "state": instance.state,
        "http_tokens": options.http_tokens,
        "http_endpoint": options.http_endpoint,
        "hop_limit": str(options.hop_limit),
        "launched_at": _time(instance.launched_at),
    }


def source_of(instance: Instance) -> str:
    """What launched an instance, in one text."""
    origin = origin_of(instance)
    return f"{origin.kind}:{f'{origin.within}/' if origin.within else ''}{origin.name}"


def judged_row(judgement: Judgement, now: datetime) -> Row:
    """What was judged now. The record is the one before the judgement after a dry run, and the one that was written after a real one."""
    record, verdict = judgement.record, judgement.verdict
    is_known = (record.decision, record.reason) == (verdict.decision, verdict.reason)
    evidence = evidence_document(judgement.evidence) or (record.evidence if is_known else None)
    tokens = {"http_tokens": judgement.after.http_tokens} if judgement.after else {}
    return {
        **recorded_row(record),
        **_evidence(evidence),
        "status": str(judgement.status),
        "decision": str(verdict.decision),
        "reason": str(verdict.reason),
        "explanation": verdict.explanation,
        "since": _time((record.changed_at if is_known else None) or now),
        "next_at": _time(record.revisit_at or verdict.revisit_at),
        "ends_on": (verdict.ends_on or record.ends_on or "") and str(verdict.ends_on or record.ends_on),
        **tokens,
    }


def recorded_row(record: Record) -> Row:
    """What the ledger knows of an instance that was not judged now."""
    hold, approval = record.hold, record.approval
    return {
        **_evidence(record.evidence),
        "status": record.status or "",
        "decision": record.decision or "",
        "reason": record.reason or "",
        "explanation": record.explanation or "",
        "since": _time(record.changed_at),
        "next_at": _time(record.revisit_at),
        "enforced_at": _time(record.enforced_at),
        "verified_at": _time(record.verified_at),
        "rolled_back_at": _time(record.rolled_back_at),
        "watch": record.watch or "",
        "broken_at": _time(record.broken_at) if record.is_broken else "",
        "left_because": record.left_because or "",
        "notice_ends_at": _time(record.notice_ends_at),
        "ends_on": str(record.ends_on) if record.ends_on else "",
        "hold_owner": hold.owner if hold else "",
        "hold_until": str(hold.until) if hold else "",
        "approval": approval.word if approval else "",
    }


def required_row(record: Record) -> Row:
    """As `recorded_row`, of an instance that EC2 shows to require tokens: an older verdict says nothing of it any more."""
    row = recorded_row(record)
    if record.status in OURS or record.reason == Reason.ALREADY_REQUIRED:
        return row
    stale = dict.fromkeys(("explanation", "since", "next_at", "watch", "ends_on", "notice_ends_at"), "")
    status = str(Status.SKIPPED) if record.status else ""
    return {**row, **stale, "status": status, "decision": str(Decision.SKIP), "reason": str(Reason.ALREADY_REQUIRED)}


def _evidence(document: Mapping[str, Any] | None) -> Row:
    if not document:
        return {}
    named = {
        "calls": "tokenless_calls",
        "call_hours": "tokenless_hours",
        "last_call": "last_tokenless_call",
        "pattern": "pattern",
        "calls_by_hour": "tokenless_by_hour",
        "observed_hours": "observed_hours",
        "coverage": "coverage",
        "boot_calls": "boot_tokenless_calls",
    }
    return {column: str(value) for column, name in named.items() if (value := document.get(name)) is not None}


def _time(when: datetime | None) -> str:
    return to_seconds(when) or ""
