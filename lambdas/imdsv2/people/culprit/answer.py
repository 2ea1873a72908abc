"""What was found of the software that calls IMDSv1, as JSON-compatible dicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imdsv2.aws.role_deliveries import Deliveries
from imdsv2.culprit.plain import plain
from imdsv2.culprit.when import where_to_look
from imdsv2.domain.documents import to_seconds
from imdsv2.domain.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2.aws.inventory import Inventory
    from imdsv2.culprit.deliveries import Caller
    from imdsv2.culprit.known import Suspect
    from imdsv2.culprit.when import Sharing, Timing
    from imdsv2.domain.instance import Target
    from imdsv2.ledger.record import Record

ALWAYS_UNSEEN = (
    "CloudTrail shows management events of this Region only: software that reads metadata without calling AWS, that reads or writes data "
    "only, or that calls global services outside us-east-1, does not show there."
)
_LONGEST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found of one instance; None where it was not looked at, or where that failed. ``in_scope``: whether the policy lets the
    service look at it; ``captured``: what a person had it watched for last."""

    record: Record
    in_scope: bool = True
    target: Target | None = None
    timing: Timing | None = None
    sharing: Sharing | None = None
    callers: Sequence[Caller] = ()
    deliveries: Deliveries = field(default_factory=Deliveries)
    inventory: Inventory | None = None
    suspects: Sequence[Suspect] = ()
    captured: Mapping[str, Any] | None = None
    not_looked_at: tuple[str, ...] = ()


def culprit_document(seen: Seen, watched: Mapping[str, Any] | None) -> dict[str, Any]:
    """One entry of ``results``. ``watched``: what became of the watch that was asked for."""
    record, inventory = seen.record, seen.inventory
    name = seen.target.tags.get("Name") if isinstance(seen.target, Instance) else None
    return {
        "target": str(record.arn),
        "name": plain(name, _LONGEST) if name else None,
        "cohort": record.cohort,
        "status": record.status,
        "reason": record.reason,
        "platform": inventory.platform if inventory else None,
        "when": _when(seen),
        "callers": [_caller(each) for each in seen.callers],
        "delivered": {
            "by_v1": len(seen.deliveries.by_v1),
            "by_v2": seen.deliveries.by_v2,
            "unsaid": seen.deliveries.unsaid,
        },
        "suspects": [_suspect(each) for each in seen.suspects],
        "capture": dict(watched) if watched is not None else None,
        "captured": dict(seen.captured) if seen.captured is not None else None,
        "explanation": _explanation(seen, watched or {}),
        "not_looked_at": [*seen.not_looked_at, ALWAYS_UNSEEN],
    }


def _when(seen: Seen) -> dict[str, Any]:
    """When it calls: as CloudWatch says now, else as the ledger kept it."""
    if seen.timing is None:
        kept = seen.record.evidence or {}
        return {
            "pattern": kept.get("pattern"),
            "calls": _whole(kept.get("tokenless_calls")),
            "hours": _whole(kept.get("tokenless_hours")),
            "last": kept.get("last_tokenless_call"),
            "says": where_to_look(str(kept.get("pattern") or "")) or None,
            "shared": None,
            "from": "ledger" if kept else None,
        }
    timing, sharing = seen.timing, seen.sharing
    return {
        "pattern": timing.pattern or None,
        "calls": timing.calls,
        "hours": len(timing.used),
        "last": to_seconds(timing.last),
        "says": where_to_look(timing.pattern) or None,
        "shared": sharing.says if sharing and timing.used else None,
        "from": "cloudwatch",
    }


def _whole(kept: Any) -> int | None:
    """DynamoDB's numbers are decimals."""
    return int(kept) if kept is not None else None


def _caller(caller: Caller) -> dict[str, Any]:
    known = caller.known
    return {
        "name": caller.name or None,
        "version": caller.version or None,
        "first_good": known.first_good if known else None,
        "calls": caller.calls,
        "last": to_seconds(caller.last),
        "example": caller.example,
        "user_agent": caller.user_agent or None,
        "says": caller.says,
        "source": known.source if known else None,
    }


def _suspect(suspect: Suspect) -> dict[str, Any]:
    return {
        "name": suspect.known.name,
        "version": suspect.version,
        "first_good": suspect.known.first_good,
        "seen": suspect.seen,
        "says": suspect.says,
        "source": suspect.known.source,
    }


def _explanation(seen: Seen, watched: Mapping[str, Any]) -> str:
    """What is most likely, in a few sentences, with what to do."""
    timing = seen.timing
    parts = [str(watched["says"])] if watched.get("processes") else []
    pattern = timing.pattern if timing else str((seen.record.evidence or {}).get("pattern") or "")
    if pattern:
        parts.append(where_to_look(pattern))
    elif timing is not None:
        parts.append("No call of IMDSv1 shows in the window.")
    parts += [each.says for each in seen.callers[:3]]
    parts += [each.says for each in seen.suspects[:3]]
    if not seen.callers and not seen.suspects and not watched.get("processes"):
        parts.append(
            "Neither CloudTrail nor the inventory names the software: watch the instance while it calls (docs/culprit.md)."
        )
    return " ".join(parts)
