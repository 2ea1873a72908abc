"""What a judgement becomes in the ledger."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.domain.documents import evidence_document, options_document
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import DAILY, Reason
from imdsv2.ledger.table import OPEN, OVER, Change, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import MetadataOptions
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.table import Entry
    from imdsv2.line.judgement import Case, Judgement

_LARGEST_JITTER = timedelta(minutes=10)
_REMIND_BEFORE = timedelta(days=3)
_VOIDS_NOTICE = frozenset(
    {
        Reason.V1_IN_USE,
        Reason.V1_AT_BOOT,
        Reason.HOP_LIMIT_FALLBACK,
        Reason.EXEMPT,
        Reason.HELD_BY_PERSON,
        Reason.BROKE_BEFORE,
        Reason.CHANGED_BACK,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who acted: the invocation, and the session in which it acts in the instance's account (None: it never got there)."""

    request_id: str
    session: str | None


def enforcing(judgement: Judgement, signature: Signature, lease: timedelta, now: datetime) -> Change:
    """Written ahead of the call to EC2: what was there before, who acts, and until when nobody else may.

    An approval is spent here, whatever comes of it: the next attempt needs its own.
    """
    instance = judgement.instance
    approval = judgement.entry.attributes.get("approval", {})
    is_approved = approval.get("word") == "approved"  # Where none is needed, a refusal may be left from when one was.
    attributes = _verdict(judgement, signature, now) | {
        "status": Status.ENFORCING,
        "before": options_document(instance.options if instance else None),
        "after": None,
        "owner": signature.request_id,
        "lease_until": now + lease,
        "revisit_at": now + lease,
        "canary": judgement.canary or None,
        "approval": None,
        "approved_by": f"{approval['by']}, request {approval['request_id']}" if is_approved else None,
        **_no_longer_watched(judgement.entry),
    }
    # A finding's state is stored with the final verdict only: if we die now, its event is no echo.
    new = [
        replace(each, updated_at=None)
        for each in judgement.case.findings
        if key_of(each) not in judgement.entry.findings
    ]
    return Change(entry=judgement.entry, attributes=attributes, findings=tuple(new))


def final(judgement: Judgement, signature: Signature, now: datetime) -> Change:
    """The verdict, with what was done about it."""
    attributes: dict[str, Any]
    if judgement.leaves_enforcement_standing:
        attributes = _standing(judgement, now)
    else:
        attributes = _verdict(judgement, signature, now) | {
            "status": judgement.status,
            "revisit_at": _jittered(judgement.verdict.revisit_at, now),
            "owner": None,
            "lease_until": None,
            "left_because": None,
            "undo": None,
        }
        if judgement.status is Status.ENFORCED:
            attributes |= _enforced(judgement.after, now, confirmed=True)
            attributes["revisit_at"] = _jittered(now + DAILY, now)
        else:
            attributes |= _no_longer_watched(judgement.entry)
        attributes |= _notice(judgement) | _reminder(judgement, attributes, now)
    if judgement.case.clear:
        attributes["cleared_at"] = now
    if not judgement.entry.same_verdict(attributes | {"status": attributes.get("status", judgement.entry.status)}):
        attributes["changed_at"] = now
    return Change(entry=judgement.entry, attributes=attributes, findings=_findings(judgement.case, judgement.entry))


def summoned(judgement: Judgement, signature: Signature, now: datetime) -> Change:
    """A canary that nobody had asked about: its turn comes with the next run of what is due."""
    attributes = _verdict(judgement, signature, now) | _no_longer_watched(judgement.entry)
    return Change(entry=judgement.entry, attributes=attributes | {"status": Status.WOULD_ENFORCE, "revisit_at": now})


def _verdict(judgement: Judgement, signature: Signature, now: datetime) -> dict[str, Any]:
    return {
        "decision": judgement.verdict.decision,
        "reason": judgement.verdict.reason,
        "explanation": judgement.verdict.explanation,
        "evidence": evidence_document(judgement.evidence),
        "error": dict(judgement.error) if judgement.error else None,
        "source": judgement.case.source,
        "request_id": signature.request_id,
        "session": signature.session,
        "caller": judgement.case.lead.caller,
        "cohort": judgement.cohort or judgement.entry.attributes.get("cohort"),
        "decided_at": now,
    }


def _no_longer_watched(entry: Entry) -> dict[str, Any]:
    """The end of the watch of an earlier enforcement, which no longer stands."""
    return {"watch": OVER} if entry.is_watched else {}


def _enforced(after: MetadataOptions | None, now: datetime, *, confirmed: bool) -> dict[str, Any]:
    """The enforcement, and a new watch of it; what an earlier one left behind goes, and the notice that led to it."""
    return {
        "enforced_at": now,
        "confirmed": confirmed,
        "after": options_document(after),
        "watch": OPEN,
        "restarted_at": None,
        "verified_at": None,
        "clean_at": None,
        "canary_lost": None,
        "left_because": None,
        "unseen_since": None,
        "broken_at": None,
        "notice_ends_at": None,
    }


def _standing(judgement: Judgement, now: datetime) -> dict[str, Any]:
    """What we did stands. If whoever was enforcing died before the end and EC2 shows what he wanted, that completes
    it, unconfirmed: it may have been a person."""
    required = judgement.verdict.reason is Reason.ALREADY_REQUIRED
    settled = required and judgement.entry.status == Status.VERIFIED
    attributes: dict[str, Any] = {
        "decision": judgement.entry.attributes.get("decision"),
        "reason": judgement.entry.attributes.get("reason"),
        "revisit_at": None if settled else _jittered(now + DAILY if required else judgement.verdict.revisit_at, now),
    }
    if required and judgement.entry.status == Status.ENFORCING:
        after = judgement.instance.options if judgement.instance else None
        attributes |= _enforced(after, now, confirmed=False) | {
            "status": Status.ENFORCED,
            "source": judgement.case.source,
            "owner": None,
            "lease_until": None,
        }
    return attributes


def _notice(judgement: Judgement) -> dict[str, Any]:
    """A notice lasts until the change, or until there is a reason of the instance's own not to make it."""
    if judgement.notice is not None:
        return {"notice_ends_at": judgement.notice.ends_at, "told_owner": judgement.notice.owner}
    if judgement.verdict.reason in _VOIDS_NOTICE:
        return {"notice_ends_at": None}
    return {}


def _reminder(judgement: Judgement, attributes: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """People are told before and after an exemption, or a hold of theirs, ends: a verdict that is otherwise the same is
    news again. A reminder that could not be sent stays."""
    known = judgement.entry.attributes
    if judgement.verdict.ends_on is not None:
        return _ends(judgement.entry, judgement.verdict.ends_on, now)
    if judgement.instance is None:
        return {"reminder": None} if known.get("reminder") else {}  # Whether it has been prolonged cannot be seen.
    ended_on, told = known.get("ends_on"), known.get("reminder") == "ended" and not judgement.entry.owes_notification()
    is_over = ended_on is not None and date.fromisoformat(ended_on) < now.astimezone(UTC).date()
    if not is_over or told or judgement.status is Status.SKIPPED:
        return {"ends_on": None, "reminder": None} if ended_on or known.get("reminder") else {}
    why = {"explanation": f"What kept it from being changed ended on {ended_on}. {attributes['explanation']}"}
    if judgement.status is Status.ENFORCED or judgement.verdict.reason is Reason.NOTICE_GIVEN:
        return {"ends_on": None, "reminder": None, **why}  # Greater news than the end, which they tell as well.
    return {"reminder": "ended", **why, **({} if known.get("reminder") == "ended" else {"changed_at": now})}


def _ends(entry: Entry, ends_on: date, now: datetime) -> dict[str, Any]:
    text = ends_on.isoformat()
    if entry.attributes.get("reminded_of") == text:
        return {"ends_on": text, "reminder": entry.attributes.get("reminder") if entry.owes_notification() else None}
    if now + _REMIND_BEFORE < datetime.combine(ends_on, time(), UTC):
        return {"ends_on": text, "reminder": None}
    return {"ends_on": text, "reminder": "ends", "reminded_of": text, "changed_at": now}


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
