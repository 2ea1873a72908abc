"""Evidence and metadata options as JSON-compatible dicts, for the ledger and for answers to callers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imdsv2.domain.evidence import Evidence
    from imdsv2.domain.instance import MetadataOptions


def evidence_document(evidence: Evidence | None) -> dict[str, Any] | None:
    """The evidence as a dict; times are UTC with a resolution of seconds."""
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
