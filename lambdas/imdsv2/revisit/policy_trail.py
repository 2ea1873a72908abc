"""What is told of changes of the policy: each writing of the parameter, with its difference from the one before and who wrote it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Policy
from imdsv2.errors import PolicyRefused
from imdsv2.ledger.items import to_text
from imdsv2.ledger.trail import Event, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imdsv2.ledger.policy import Writing


def policy_events(document: str | None, writings: Sequence[Writing]) -> Iterator[Event]:
    """The events of writings that follow one another. ``document``: the policy before them, as JSON text; None if there was none."""
    known = _policy(document)
    for each in writings:
        said: dict[str, Any] = {
            "caller": each.by,
            "parameter_version": each.version,
            "modified_at": to_text(each.modified_at) if each.modified_at else None,
        }
        try:
            policy = Policy.from_json(each.value)
        except PolicyRefused as error:
            yield Event(kind=Kind.POLICY_REFUSED, details={**said, "explanation": str(error)})
            continue
        yield Event(kind=Kind.POLICY_CHANGED, details={**said, "difference": json.dumps(difference(known, policy))})
        known = policy


def difference(before: Policy | None, after: Policy) -> dict[str, dict[str, Any]]:
    """The fields that differ, each with its value before and after. Without a policy before, those that differ from the defaults."""
    old, new = (before or Policy()).to_document(), after.to_document()
    return {name: {"before": old[name], "after": new[name]} for name in new if old[name] != new[name]}


def _policy(document: str | None) -> Policy | None:
    try:
        return Policy.from_json(document) if document is not None else None
    except PolicyRefused:
        return None  # Kept by another version of the service.
