"""The fleet as it is now: rows of the last sweep's file, and in their place what the ledger has learnt since."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from imdsv2_cli.fleet import file, ledger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from imdsv2.ledger.record import Record
    from imdsv2_cli.base import App
    from imdsv2_cli.fleet.file import Row

_TOKENS = {"enforced": "required", "verified": "required", "rolled_back": "optional", "rolling_back": "required"}
GONE = "gone"
NOT_JUDGED = "not_judged"
"""What stands for the reason of an instance that nobody has judged yet."""
_BLIND = frozenset({None, GONE, "out_of_scope", "unreachable"})
"""Reasons for which EC2 was not looked at, or showed nothing."""
_SHUT = {"already_required": {"http_tokens": "required"}, "endpoint_disabled": {"http_endpoint": "disabled"}}
"""With every other reason EC2 showed tokens as optional and the endpoint as enabled: these come first in the verdict table."""

_JOINED_BY = ("account", "region", "instance_id", "as_of")


class Fleet:
    """The fleet of an installation. ``swept``: the document of the last sweep's file; None before the first."""

    def __init__(self, app: App, now: datetime) -> None:
        self._app, self._now = app, now
        self.swept: Mapping[str, Any] | None = file.newest(app)

    @property
    def unseen(self) -> dict[str, str]:
        """What the last sweep could not look at, an account or `<account> <Region>`, with the reason."""
        swept = self.swept or {}
        return {**swept.get("unreachable", {}), **swept.get("errors", {})}

    def rows(self, columns: Collection[str] = ()) -> Iterator[Row]:
        """Every instance, in no certain order. An instance that is gone since is left out.

        ``columns``: those that are wanted, all of them otherwise; a row may have others, of which it may not know the values.
        """
        wanted = {*columns, *_JOINED_BY} if columns else ()
        listed = file.rows(self._app, self.swept, wanted) if self.swept is not None else None
        if self.swept is None or listed is None:  # A file that the bucket has forgotten is no empty fleet.
            self.swept = None
            yield from self._recorded({arn: {} for arn in ledger.known(self._app)})
            return
        since = self.swept["oldest"] or f"{self.swept['ended_at'].removesuffix('Z')}.000000Z"
        changed = ledger.changed_since(self._app, since, self._now)
        outdated: dict[str, Row] = {}
        # To make the ARN of every row would take a tenth of the time.
        ids = {arn.rpartition("/")[2] for arn in changed}
        for row in listed:
            at = changed.pop(arn_of(row), None) if row["instance_id"] in ids else None
            if at is None or at <= row["as_of"]:
                yield row
            else:
                outdated[arn_of(row)] = row
        # What is left has come since, or is gone and was not in the file.
        yield from self._recorded(outdated | {arn: {} for arn in changed if arn not in outdated})

    def _recorded(self, rows: Mapping[str, Row]) -> Iterator[Row]:
        judged = set()
        for record in ledger.records(self._app, rows):
            judged.add(str(record.arn))
            if record.reason != GONE:
                yield renewed(rows[str(record.arn)], record)
        # Somebody may have had it watched before it was ever judged: there is an event then, and no record.
        yield from (row for arn, row in rows.items() if row and arn not in judged)


def renewed(row: Row, record: Record) -> Row:
    """A row with what the ledger knows now. ``row``: what EC2 showed of it; empty if it was not there at the last sweep."""
    from imdsv2.domain.fleet_file import COLUMNS
    from imdsv2.sweep.rows import recorded_row

    arn = record.arn
    there = {"account": arn.account, "region": arn.region, "instance_id": arn.instance_id}
    judged = {"name": record.name, "owner": record.belongs_to, "cohort": record.cohort}
    known = {name: value or row.get(name, "") for name, value in judged.items()}
    return {**dict.fromkeys(COLUMNS, ""), **row, **recorded_row(record), **there, **known, **_options(row, record)}


def _options(row: Row, record: Record) -> dict[str, str]:
    """What is known of the metadata options that are columns: as the sweep saw them, or as the ledger has learnt since."""
    from imdsv2.ledger.items import to_text

    times = (record.decided_at, record.enforced_at, record.rolled_back_at)
    learnt = max((to_text(each) for each in times if each is not None), default="")
    if learnt <= row.get("as_of", ""):  # What came later is a person's word, which changes no option.
        return {}
    if tokens := _TOKENS.get(record.status or ""):
        return {"http_tokens": tokens}
    if record.reason in _BLIND:
        return {}
    return _SHUT.get(record.reason or "", {"http_tokens": "optional", "http_endpoint": "enabled"})


def arn_of(row: Row) -> str:
    """The ARN of a row's instance."""
    region = row["region"]
    return f"arn:{_partition(region)}:ec2:{region}:{row['account']}:instance/{row['instance_id']}"


def with_target(row: Row) -> Row:
    """A row with its ARN as `target`: what every command calls an instance by in JSON and CSV."""
    return {**row, "target": arn_of(row)}


@cache
def _partition(region: str) -> str:
    from imdsv2.domain.instance import partition_of

    return partition_of(region)


def allows_imdsv1(row: Row) -> bool:
    """Whether anybody can call IMDSv1 on it."""
    return row["http_tokens"] != "required" and row["http_endpoint"] != "disabled"
