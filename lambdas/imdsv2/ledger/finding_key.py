"""The key of a finding in a record's map of findings."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.request import Finding


def key_of(finding: Finding, kept: Mapping[str, Finding] = MappingProxyType({})) -> str:
    """The finding's key in the map ``kept``: a hash, because ids are too long and too arbitrary for attribute names.

    Both versions of Security Hub give the same finding the same id, so the newer one's key is made of hub and id. Earlier items
    may have either version's finding under the id alone: it stays there, and the other one goes beside it.
    """
    by_id, by_hub = _hash(finding.id), _hash(f"{'v2' if finding.is_v2 else 'v1'} {finding.id}")
    for key in (by_hub, by_id):
        if key in kept and kept[key].is_v2 == finding.is_v2:
            return key
    return by_hub if finding.is_v2 or by_id in kept else by_id


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
