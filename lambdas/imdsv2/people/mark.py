"""Writing a person's word to the records that it is about, against which nothing speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.ledger.record import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.lifecycle import Status
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger

_BUSY = "Somebody is changing it right now; ask again in a few minutes."
_OVERTAKEN = "Somebody else was quicker; ask again."


def mark(
    ledger: Ledger,
    records: Sequence[Record],
    word: Callable[[Record], Record],
    problems: Mapping[InstanceArn, str],
    now: datetime,
    *,
    dry_run: bool,
    would_be: Status | None = None,
) -> list[dict[str, Any]]:
    """Make the same change to every record without a problem, unless it is a dry run. Returns a result for each record,
    in order; ``would_be``: the status to which the word will lead."""
    hindered = {**problems, **{each.arn: _BUSY for each in records if each.is_leased(now)}}
    if not dry_run:
        changes = [Change(before=each, after=word(each)) for each in records if each.arn not in hindered]
        hindered |= dict.fromkeys(ledger.write(changes, now), _OVERTAKEN)
    return [
        {
            "target": str(each.arn),
            "status": each.status,
            "reason": each.reason,
            "would_be": would_be if each.arn not in hindered else None,
            "done": not dry_run and each.arn not in hindered,
            "problem": hindered.get(each.arn),
        }
        for each in records
    ]
