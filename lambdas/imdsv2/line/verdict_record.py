"""What a verdict sets in the ledger record, whatever is done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.domain.documents import evidence_document
from imdsv2.domain.instance import Missing
from imdsv2.domain.replacing import replace
from imdsv2.domain.texts.commands import command
from imdsv2.domain.verdict import Reason
from imdsv2.line.evidence.proofs import with_proofs

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.ledger.record import Record
    from imdsv2.line.judgement import Judgement

_TELLS_WHAT_HAPPENED = frozenset({Reason.BROKE_BEFORE, Reason.UNDONE_BY_PERSON, Reason.CHANGED_BACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who acted: the invocation, and its role session in the instance's account (None: no session was opened)."""

    request_id: str
    session: str | None


def with_verdict(record: Record, judgement: Judgement, signature: Signature, now: datetime) -> Record:
    """The record with a verdict, what was seen for it, and who looked."""
    after = replace(
        with_proofs(_seen(record, judgement), judgement.evidence),
        decision=judgement.verdict.decision,
        reason=judgement.verdict.reason,
        evidence=evidence_document(judgement.evidence),
        error=dict(judgement.error) if judgement.error else None,
        missing_since=_missing_since(record, judgement, now),
        endpoint_wanted_at=(record.endpoint_wanted_at or now) if judgement.wants_endpoint else None,
        decided_at=now,
    )
    if _stands_told(record, judgement):
        return after
    return replace(
        after,
        explanation=judgement.verdict.explanation,
        source=judgement.case.source,
        request_id=signature.request_id,
        session=signature.session,
        caller=judgement.case.lead.caller,
    )


def _seen(record: Record, judgement: Judgement) -> Record:
    """The record with what EC2 shows of the instance and its owner; as it was last seen, if it was not now."""
    if judgement.instance is None:
        return record
    if (cut := judgement.verdict.cut_exemption) is not None:
        record = replace(record, exemption_until=cut.until, exemption_seen_at=cut.seen_at)
    name = judgement.instance.tags.get("Name")
    return replace(record, cohort=judgement.cohort, name=name or None, belongs_to=judgement.owner or None)


def _stands_told(record: Record, judgement: Judgement) -> bool:
    """Whether the record tells already what happened, who did it and what to do: whoever merely looks does not change that."""
    reason = judgement.verdict.reason
    if reason not in _TELLS_WHAT_HAPPENED or record.reason != reason:
        return False
    return command("clear", record.arn) in str(record.explanation)


def _missing_since(record: Record, judgement: Judgement, now: datetime) -> datetime | None:
    if isinstance(judgement.target, Missing):
        return record.missing_since or now
    return None if judgement.instance is not None else record.missing_since
