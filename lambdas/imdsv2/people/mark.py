"""Writes a person's command to the records it applies to."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.request import Source
from imdsv2.errors import LedgerContended
from imdsv2.ledger.change import Change
from imdsv2.ledger.items import to_text
from imdsv2.ledger.trail import Author

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.lifecycle import Status
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.command_request import Command
    from imdsv2.people.effects import Tells

_BUSY = "Somebody is changing it right now; ask again in a few minutes."
_OVERTAKEN = "Somebody else was quicker; ask again."


def _nothing_more(_record: Record) -> Mapping[str, Any]:
    return {}


def author(command: Command, request_id: str) -> Author:
    """Who gives a command, as its events tell."""
    return Author(caller=command.caller, request_id=request_id, source=str(Source.MANUAL), because=command.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person says of records. ``into``: the record with it. ``would_be``: the status that it leads to. ``tells``: more of a
    result, from the record as it was."""

    into: Callable[[Record], Record]
    by: Author
    would_be: Status | None = None
    tells: Tells = _nothing_more


def mark(
    ledger: Ledger,
    records: Sequence[Record],
    word: Word,
    problems: Mapping[InstanceArn, str],
    now: datetime,
    *,
    dry_run: bool,
) -> list[dict[str, Any]]:
    """Write a word into every record without a problem, unless it is a dry run. Returns one result per record, in order."""
    hindered = {**problems, **{each.arn: _BUSY for each in records if each.is_leased(now)}}
    if not dry_run:
        changes = [
            Change(before=each, after=word.into(each), by=word.by) for each in records if each.arn not in hindered
        ]
        written = ledger.write(changes, now)
        hindered |= dict.fromkeys(written.overtaken, _OVERTAKEN)
        hindered |= {arn: f"The ledger refuses it ({describe_error(error)})." for arn, error in written.failed.items()}
    return [
        {
            "target": str(each.arn),
            "status": each.status,
            "reason": each.reason,
            "would_be": word.would_be if each.arn not in hindered else None,
            "done": not dry_run and each.arn not in hindered,
            "problem": hindered.get(each.arn),
            **{name: None if each.arn in hindered else value for name, value in word.tells(each).items()},
        }
        for each in records
    ]


def make_due(ledger: Ledger, accounts: Iterable[str], waits: Callable[[Record], bool], now: datetime) -> None:
    """Make due what waits in some accounts (``<partition>/<account>``) for a gate that a person has just opened. Never raises what
    AWS answers: the gate is open, and what cannot be written is judged within a day."""
    with suppress(*CALL_FAILURES, LedgerContended):
        for account in accounts:
            records = ledger.read(ledger.indexes.waiting(account)).values()
            later = {each.arn: each.revisit_at for each in records if waits(each) and not each.is_leased(now)}
            ledger.claim({arn: to_text(when) for arn, when in later.items() if when is not None and when > now}, now)
