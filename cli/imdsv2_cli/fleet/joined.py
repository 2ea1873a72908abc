"""The fleet as it is now: rows of the last sweep's file, and in their place what the ledger has learnt since."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from imdsv2_cli.fleet import file, ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from imdsv2.ledger.record import Record
    from imdsv2_cli.base import App
    from imdsv2_cli.fleet.file import Row, Values

_TOKENS = {"enforced": "required", "verified": "required", "rolled_back": "optional", "rolling_back": "required"}
GONE = "gone"
NOT_JUDGED = "not_judged"
"""What stands for the reason of an instance that nobody has judged yet."""
_BLIND = frozenset({None, GONE, "out_of_scope", "unreachable"})
"""Reasons for which EC2 was not looked at, or showed nothing."""
_SHUT = {"already_required": {"http_tokens": "required"}, "endpoint_disabled": {"http_endpoint": "disabled"}}
"""With every other reason EC2 showed tokens as optional and the endpoint as enabled: these come first in the verdict table."""

JOINED_BY = ("account", "region", "instance_id", "as_of")
"""The columns by which rows of the file and the ledger are joined."""


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

    def rows(self) -> Iterator[Row]:
        """Every instance, in no certain order. An instance that is gone since is left out."""
        from imdsv2.domain.fleet_file import COLUMNS

        for values in self.values(COLUMNS):
            yield dict(zip(COLUMNS, values, strict=True))

    def values(self, columns: Iterable[str]) -> Iterator[Values]:
        """As `rows`, of each the values of some columns, those of JOINED_BY among them."""
        columns = tuple(columns)
        listed = file.rows(self._app, self.swept, columns) if self.swept is not None else None
        if self.swept is None or listed is None:  # A file that the bucket has forgotten is no empty fleet.
            self.swept = None
            recorded = self._recorded({arn: {} for arn in ledger.known(self._app)})
        else:
            outdated: dict[str, Row] = {}
            yield from self._unchanged(self.swept, columns, listed, outdated)
            recorded = self._recorded(outdated)
        for row in recorded:
            yield tuple(row[name] for name in columns)

    def _unchanged(
        self, swept: Mapping[str, Any], columns: Values, listed: Iterator[Values], outdated: dict[str, Row]
    ) -> Iterator[Values]:
        """What still stands of a file. The other rows are put in `outdated` by ARN, with empty ones for what has come since."""
        since = swept["oldest"] or f"{swept['ended_at'].removesuffix('Z')}.000000Z"
        changed = ledger.changed_since(self._app, since, self._now)
        # To make the ARN of every row would take a tenth of the time.
        ids, at = {arn.rpartition("/")[2] for arn in changed}, columns.index("instance_id")
        for values in listed:
            if values[at] in ids:
                row = dict(zip(columns, values, strict=True))
                arn = arn_of(row)
                if changed.pop(arn, "") > row["as_of"]:
                    outdated[arn] = row
                    continue
            yield values
        # What is left has come since, or is gone and was not in the file.
        outdated.update({arn: {} for arn in changed if arn not in outdated})

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
    return is_open(row["http_tokens"], row["http_endpoint"])


def is_open(http_tokens: str, http_endpoint: str) -> bool:
    """Whether metadata options allow IMDSv1."""
    return http_tokens != "required" and http_endpoint != "disabled"
