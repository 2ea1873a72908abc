"""Keeps the times of a record in the order of its writes: the clocks of two functions may differ by seconds, and whoever writes has
seen all that was written before."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.domain.replacing import replace

if TYPE_CHECKING:
    from imdsv2.ledger.record import Record

_HAPPENS = ("broken_at", "rolled_back_at", "undone_at", "cleared_at", "required_seen_at", "changed_at", "notified_at")
"""Times of writing: what is told, held or settled follows from their order."""
_NEXT = timedelta(microseconds=1)


def in_order(before: Record, after: Record) -> Record:
    """``after`` with all that it says to have happened just now no earlier than anything that ``before`` knows. Which of it came first
    stays as it is."""
    latest = _latest(before)
    news = {name: when for name in _HAPPENS if (when := getattr(after, name)) and when != getattr(before, name)}
    if latest is None or not news or min(news.values()) >= latest:
        return after
    moved: dict[datetime, datetime] = {}
    for when in sorted(set(news.values())):
        moved[when] = when if when > latest else latest + _NEXT
        latest = moved[when]
    times: dict[str, Any] = {name: moved[when] for name, when in news.items()}
    return replace(after, **times)


def _latest(record: Record) -> datetime | None:
    known = [record.enforced_at, *(getattr(record, name) for name in _HAPPENS)]
    known += [each.annotated_at for each in record.findings.values()]
    return max((each for each in known if each), default=None)
