"""Suppressed findings between the steps of a sweep: the plan lists them, and each place's step has those of its instances."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from imdsv2.domain.request import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def to_document(finding: Finding) -> dict[str, Any]:
    """A finding as JSON."""
    updated_at = finding.updated_at.isoformat() if finding.updated_at else None
    return {
        "id": finding.id,
        "product_arn": finding.product_arn,
        "region": finding.region,
        "updated_at": updated_at,
    }


def from_document(document: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Finding]]:
    """The findings of each instance, by its id."""
    return {instance: [_finding(each) for each in findings] for instance, findings in document.items()}


def _finding(document: Mapping[str, Any]) -> Finding:
    updated_at = document["updated_at"]
    return Finding(**{**document, "updated_at": datetime.fromisoformat(updated_at) if updated_at else None})
