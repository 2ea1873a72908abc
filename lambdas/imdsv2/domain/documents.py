"""Evidence and metadata options as JSON-compatible dicts, for the ledger and for answers to callers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imdsv2.domain.evidence.values import Evidence
    from imdsv2.domain.instance import MetadataOptions


def evidence_document(evidence: Evidence | None) -> dict[str, Any] | None:
    """The evidence as a dict; times are UTC with a resolution of seconds. ``tokenless_by_hour``: only where calls were made, those in
    each hour of the week, from Monday 00:00 UTC (0) to Sunday 23:00 (167): ``2:5 26:5``."""
    if evidence is None:
        return None
    document = {
        "window_start": to_seconds(evidence.window_start),
        "window_end": to_seconds(evidence.window_end),
        "tokenless_calls": evidence.use.calls,
        "tokenless_hours": evidence.use.hours,
        "last_tokenless_call": to_seconds(evidence.use.last),
        "pattern": evidence.use.pattern or None,
        "refused_calls": evidence.refused.calls,
        "boot_observed": evidence.start is not None and evidence.start.observed,
        "boot_tokenless_calls": evidence.start.calls if evidence.start else 0,
        "observed_hours": evidence.observed_hours,
        "coverage": round(evidence.coverage, 4),
        "longest_gap_hours": evidence.gap.hours,
        "newest_datapoint": to_seconds(evidence.newest),
        "period_seconds": evidence.period_seconds,
    }
    if evidence.use.week:
        document["tokenless_by_hour"] = " ".join(f"{hour}:{calls}" for hour, calls in evidence.use.week.items())
    return document


def options_document(options: MetadataOptions | None) -> dict[str, Any] | None:
    """Metadata options under EC2's own field names."""
    if options is None:
        return None
    return {
        "HttpTokens": options.http_tokens,
        "HttpPutResponseHopLimit": options.hop_limit,
        "HttpEndpoint": options.http_endpoint,
    }


def to_seconds(when: datetime | None) -> str | None:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if when else None
