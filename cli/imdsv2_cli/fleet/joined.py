"""The fleet as it is now: rows of the last sweep's file, and in their place what the ledger has learnt since."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from imdsv2_cli.fleet import file, ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from imdsv2.ledger.record import Record
    from imdsv2_cli.base import App
    from imdsv2_cli.fleet.file import Row

_TOKENS = {"enforced": "required", "verified": "required", "rolled_back": "optional", "rolling_back": "required"}
GONE = "gone"


class Fleet:
    """The fleet of an installation. ``swept``: the document of the last sweep's file; None before the first."""

    def __init__(self, app: App, now: datetime) -> None:
        self._app, self._now = app, now
        self.swept: Mapping[str, Any] | None = file.newest(app)

    def rows(self) -> Iterator[Row]:
        """Every instance, in no certain order. An instance that is gone since is left out."""
        if self.swept is None:
            yield from self._recorded({arn: {} for arn in ledger.known(self._app)})
            return
        since = self.swept["oldest"] or f"{self.swept['ended_at'].removesuffix('Z')}.000000Z"
        changed = ledger.changed_since(self._app, since, self._now)
        outdated: dict[str, Row] = {}
        for row in file.rows(self._app, self.swept):
            at = changed.pop(arn_of(row), None) if changed else None
            if at is None or at <= row["as_of"]:
                yield row
            else:
                outdated[arn_of(row)] = row
        # What is left has come since, or is gone and was not in the file.
        yield from self._recorded(outdated | {arn: {} for arn in changed if arn not in outdated})

    def _recorded(self, rows: Mapping[str, Row]) -> Iterator[Row]:
        for record in ledger.records(self._app, rows):
            if record.reason != GONE:
                yield renewed(rows[str(record.arn)], record)


def renewed(row: Row, record: Record) -> Row:
    """A row with what the ledger knows now. ``row``: what EC2 showed of it; empty if it was not there at the last sweep."""
    from imdsv2.domain.fleet_file import COLUMNS
    from imdsv2.sweep.rows import recorded_row

    arn = record.arn
    there = {"account": arn.account, "region": arn.region, "instance_id": arn.instance_id}
    seen = record.after or record.before or {}
    tokens = _TOKENS.get(record.status or "") or row.get("http_tokens") or seen.get("HttpTokens", "")
    if record.reason == "already_required":
        tokens = "required"
    known = {"cohort": record.cohort or row.get("cohort", ""), "http_tokens": tokens}
    return {**dict.fromkeys(COLUMNS, ""), **row, **recorded_row(record), **there, **known}


def arn_of(row: Row) -> str:
    """The ARN of a row's instance."""
    region = row["region"]
    return f"arn:{_partition(region)}:ec2:{region}:{row['account']}:instance/{row['instance_id']}"


@cache
def _partition(region: str) -> str:
    from imdsv2.domain.instance import partition_of

    return partition_of(region)


def allows_imdsv1(row: Row) -> bool:
    """Whether anybody can call IMDSv1 on it."""
    return row["http_tokens"] != "required" and row["http_endpoint"] != "disabled"
