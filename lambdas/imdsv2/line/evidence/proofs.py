"""What evidence has shown once and for all, kept in the ledger record: metrics age, and reading them costs; a proof does neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.replacing import replace
from imdsv2.line.evidence.reboots import noted

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.ledger.record import Record


def with_proofs(record: Record, evidence: Evidence | None) -> Record:
    """The record with the proofs that evidence gives; those that it does not repeat are kept."""
    if evidence is None:
        return record
    record = noted(record, evidence)
    if evidence.problem is not None:
        return record
    since, until = evidence.unrefused or (record.unrefused_since, record.unrefused_until)
    return replace(
        record,
        proved_start=_proved_start(evidence) or record.proved_start,
        quiet_until=evidence.quiet_until or record.quiet_until,
        unrefused_since=since,
        unrefused_until=until,
    )


def _proved_start(evidence: Evidence) -> datetime | None:
    """A start that was observed, and at which nothing called IMDSv1."""
    if evidence.start is None or evidence.use.calls:
        return None
    is_proved = evidence.start.observed and not evidence.start.calls and not evidence.refused.calls
    return evidence.start.at if is_proved else None
