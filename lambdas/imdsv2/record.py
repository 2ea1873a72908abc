"""What a judgement becomes in the ledger."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.decision import DAILY
from imdsv2.ledger import Change, key_of
from imdsv2.model import Reason, Status
from imdsv2.report import evidence_document, options_document

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.judgement import Case, Judgement
    from imdsv2.ledger import Entry
    from imdsv2.model import Finding

_LARGEST_JITTER = timedelta(minutes=10)


def enforcing(judgement: Judgement, request_id: str, lease: timedelta, now: datetime) -> Change:
    """Written ahead of the call to EC2: what was there before, who acts, and until when nobody else may."""
    instance = judgement.instance
    attributes = _verdict(judgement, request_id, now) | {
        "status": Status.ENFORCING,
        "before": options_document(instance.options if instance else None),
        "after": None,
        "owner": request_id,
        "lease_until": now + lease,
        "revisit_at": now + lease,
    }
    # A finding's state is stored with the final verdict only: if we die now, its event is no echo.
    new = [
        replace(each, updated_at=None)
        for each in judgement.case.findings
        if key_of(each) not in judgement.entry.findings
    ]
    return Change(entry=judgement.entry, attributes=attributes, findings=tuple(new))


def final(judgement: Judgement, request_id: str, now: datetime) -> Change:
    """The verdict, with what was done about it."""
    attributes: dict[str, Any]
    if judgement.leaves_enforcement_standing:
        attributes = _standing(judgement, now)
    else:
        attributes = _verdict(judgement, request_id, now) | {
            "status": judgement.status,
            "revisit_at": _jittered(judgement.verdict.revisit_at, now),
            "owner": None,
            "lease_until": None,
        }
        if judgement.status is Status.ENFORCED:
            attributes |= {"enforced_at": now, "confirmed": True, "after": options_document(judgement.after)}
            attributes["revisit_at"] = _jittered(now + DAILY, now)
    if judgement.case.clear:
        attributes["cleared_at"] = now
    if not judgement.entry.same_verdict(attributes | {"status": attributes.get("status", judgement.entry.status)}):
        attributes["changed_at"] = now
    return Change(entry=judgement.entry, attributes=attributes, findings=_findings(judgement.case, judgement.entry))


def _verdict(judgement: Judgement, request_id: str, now: datetime) -> dict[str, Any]:
    return {
        "decision": judgement.verdict.decision,
        "reason": judgement.verdict.reason,
        "explanation": judgement.verdict.explanation,
        "evidence": evidence_document(judgement.evidence),
        "error": dict(judgement.error) if judgement.error else None,
        "source": judgement.case.source,
        "request_id": request_id,
        "caller": judgement.case.lead.caller,
        "decided_at": now,
    }


def _standing(judgement: Judgement, now: datetime) -> dict[str, Any]:
    """The enforcement stands. If whoever was enforcing died before the end and EC2 shows what he wanted, that completes
    it, unconfirmed: it may have been a person."""
    required = judgement.verdict.reason is Reason.ALREADY_REQUIRED
    attributes: dict[str, Any] = {
        "decision": judgement.entry.attributes.get("decision"),
        "reason": judgement.entry.attributes.get("reason"),
        "revisit_at": _jittered(now + DAILY if required else judgement.verdict.revisit_at, now),
    }
    if required and judgement.entry.status == Status.ENFORCING:
        attributes |= {
            "status": Status.ENFORCED,
            "enforced_at": now,
            "confirmed": False,
            "after": options_document(judgement.instance.options if judgement.instance else None),
            "source": judgement.case.source,
            "owner": None,
            "lease_until": None,
        }
    return attributes


def _findings(case: Case, entry: Entry) -> tuple[Finding, ...]:
    """The findings that asked, in the state that is now answered; a note they bear already stays known."""
    newest: dict[str, Finding] = {}
    for finding in case.findings:
        key = key_of(finding)
        known = newest.get(key) or entry.findings.get(key)
        if known is not None and known.updated_at and finding.updated_at and known.updated_at > finding.updated_at:
            continue
        newest[key] = replace(finding, annotated_at=known.annotated_at if known else None)
    return tuple(newest.values())


def _jittered(when: datetime | None, now: datetime) -> datetime | None:
    """Spread what falls due together over a tenth of the wait."""
    if when is None:
        return None
    spread = min(_LARGEST_JITTER, max(when - now, timedelta()) / 10)
    return when + spread * random.random()  # noqa: S311 - jitter, not a secret
