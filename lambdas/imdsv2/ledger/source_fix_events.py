"""What a change of a source's item tells: the events of the trail, with what was before the service's change and what it made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.source_fix import FixStatus
from imdsv2.ledger.items import to_text
from imdsv2.ledger.trail import Event, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from imdsv2.domain.source_fix import Pointer, SourceFix, Step

_BACK = frozenset({FixStatus.GOING_BACK, FixStatus.GONE_BACK})


def events_of(fix: SourceFix) -> tuple[datetime, list[Event]] | None:
    """The events of an item that is about to be written, in their order, and when they happened; None if it tells nothing new: a lease,
    a step or a message is no change of its status."""
    before = (fix.kept.status, fix.kept.at, fix.kept.broken_at) if fix.kept is not None else (None, None, None)
    is_moved = (fix.status, fix.at) != before[:2] and fix.status is not None
    is_broken = fix.broken_at is not None and fix.broken_at != before[2]
    at = fix.at if is_moved else fix.broken_at
    if at is None or not (is_moved or is_broken):
        return None
    events = [Event(kind=Kind.SOURCE_BROKE, details=_said(fix, source="guard"))] if is_broken else []
    if is_moved:
        author = {**_author(fix), "status_before": before[0]}
        events.append(Event(kind=Kind(f"source_{fix.status}"), details=_said(fix, **author)))
    return at, events


def _said(fix: SourceFix, **more: Any) -> dict[str, Any]:
    made = any(each.made is not None for each in fix.steps)
    return {
        "status": fix.status,
        "owner": fix.owner or None,
        "explanation": fix.explanation or None,
        "until": to_text(fix.notice_ends_at) if fix.notice_ends_at else None,
        "broken_by": fix.broken_by,
        "broken_at": to_text(fix.broken_at) if fix.broken_at else None,
        "before": _launching(fix.steps, fix.pointers, _as_before) if fix.steps else None,
        "after": _launching(fix.steps, fix.after(), _as_made) if made else None,
        **more,
    }


def _author(fix: SourceFix) -> dict[str, str | None]:
    """Who is behind the present status, and what led to it."""
    if fix.status is FixStatus.VERIFIED:
        return {"source": "guard"}
    if fix.status not in _BACK:
        return {"caller": fix.caller, "because": fix.because, "source": "manual" if fix.caller else "sweep"}
    if fix.undone_by is not None:
        return {"caller": fix.undone_by.rpartition(", request ")[0], "because": fix.because, "source": "manual"}
    return {"source": "guard" if fix.broken_by is not None else None}


def _launching(
    steps: Sequence[Step], pointers: Sequence[Pointer], template: Callable[[Step], dict[str, Any]]
) -> dict[str, Any]:
    """The launch templates of a source, and what its group names of them."""
    named = [{"template": each.template, "version": each.version} for each in pointers]
    return {"launch_templates": [template(each) for each in steps], **({"group": named} if named else {})}


def _as_before(step: Step) -> dict[str, Any]:
    return {"template": step.template, "name": step.name, "version": step.base, "default": step.default}


def _as_made(step: Step) -> dict[str, Any]:
    default = step.made if step.moves_default and step.made is not None else step.default
    return {"template": step.template, "name": step.name, "version": step.made or step.base, "default": default}
