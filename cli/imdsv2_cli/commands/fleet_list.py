"""`imdsv2 list`: the fleet, filtered."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.base import App, Command
from imdsv2_cli.fleet.filters import EXACT, PATTERNS, Wanted, filter_of
from imdsv2_cli.fleet.joined import Fleet, allows_imdsv1, with_target
from imdsv2_cli.fleet.plain import as_values
from imdsv2_cli.fleet.strangers import note_stranger
from imdsv2_cli.fleet.when import ago, now, short
from imdsv2_cli.output import Column, Table, is_terminal, note, progress, show
from imdsv2_cli.wording import of

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2_cli.fleet.file import Row

COLUMNS = (
    Column("account", spare=4),
    Column("region", spare=5),
    Column("instance_id", "instance"),
    Column("name"),
    Column("owner", spare=8),
    Column("cohort", spare=10),
    Column("http_tokens", "HttpTokens", spare=2),
    Column("status", csv_only=True),
    Column("decision", "verdict", spare=3),
    Column("reason"),
    Column("since", spare=9),
    Column("calls", "IMDSv1 calls", spare=1),
    Column("last_call", spare=7),
    Column("next_at", "next step", spare=6),
    *(
        Column(each, csv_only=True, speaks=each == "explanation")
        for each in ("source", "hop_limit", "http_endpoint", "state", "explanation", "as_of", "target")
    ),
)
_HINTED = {
    "account": ("account", "in"),
    "in_region": ("region", "in"),
    "instance": ("instance_id", "called"),
    "name": ("name", "called"),
    "owner": ("owner", "owned by"),
    "cohort": ("cohort", "in a cohort like"),
    "source": ("source", "from a source like"),
}
"""Options whose value may be a slip of the finger, with their column, and how it belongs to an instance."""
SORTS = ("account", "name", "owner", "cohort", "reason", "since", "calls", "last_call", "next_at")
_FEW = 100
"""So many rows are shown on a terminal unless `--limit` says otherwise."""


def _words(command: Any) -> Any:
    """The options that take a value of a column; each may be repeated."""
    texts = {
        "account": ("ID", "Only this account."),
        "in_region": ("REGION", "Only this Region."),
        "status": ("STATUS", "Only this status in the ledger, e.g. enforced."),
        "verdict": ("VERDICT", "Only enforce, hold or skip."),
        "reason": ("REASON", "Only this reason, e.g. v1_in_use."),
        "instance": ("TEXT", "Only ids that contain this; * and ? are wildcards."),
        "name": ("TEXT", "Only names (tag Name) that contain this; * and ? are wildcards."),
        "owner": ("TEXT", "Only owners that contain this."),
        "cohort": ("TEXT", "Only cohorts whose key contains this."),
        "source": ("TEXT", "Only sources that contain this, e.g. auto_scaling_group."),
    }
    for name in reversed([*EXACT, *PATTERNS]):
        metavar, text = texts[name]
        command = click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, multiple=True, help=text)(command)
    return command


@click.command("list", cls=Command)
@_words
@click.option("--tokens", type=click.Choice(("optional", "required")), help="Only instances with this HttpTokens.")
@click.option("--still-v1", is_flag=True, help="Only instances on which IMDSv1 can be called.")
@click.option(
    "--calls", "min_calls", type=click.IntRange(0), metavar="N", help="Only with at least so many IMDSv1 calls."
)
@click.option("--since", metavar="SPAN", help="Only whose verdict is not older than this, e.g. 7d.")
@click.option("--last-call", metavar="SPAN", help="Only whose last IMDSv1 call is not older than this, e.g. 2d.")
@click.option("--due", metavar="SPAN", help="Only what is judged again within this time, e.g. 1h.")
@click.option("--sort", type=click.Choice(SORTS), default="account", show_default=True, help="The order of the rows.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show at most so many rows; on a terminal, 100.")
@click.pass_obj
def list_instances(
    app: App,
    /,
    tokens: str | None,
    still_v1: bool,
    min_calls: int | None,
    since: str | None,
    last_call: str | None,
    due: str | None,
    sort: str,
    limit: int | None,
    **words: tuple[str, ...],
) -> None:
    """Lists the fleet: every instance with its verdict, and what happens next.

    The rows are those of the last sweep, and what the ledger has learnt since. Options that are repeated widen the list, different
    options narrow it. With `--output csv` or `json`, the explanation and further columns are there too.
    """
    at = now()
    wanted = Wanted(
        words=words, tokens=tokens, still_v1=still_v1, min_calls=min_calls, since=since, last_call=last_call, due=due
    )
    is_wanted = filter_of(wanted, at)
    fleet = Fleet(app, at)
    found: list[Row] = []
    seen: dict[str, set[str]] = {column: set() for option, (column, _) in _HINTED.items() if words[option]}
    total = open_ = 0
    with progress("Reading the fleet", None) as advance:
        for row in fleet.rows():
            total += 1
            open_ += allows_imdsv1(row)
            for column, values in seen.items():
                values.add(row[column])
            if is_wanted(row):
                found.append(row)
            if total % 1000 == 0:
                advance(1000)
    found.sort(key=lambda row: _key(row, sort), reverse=sort in {"calls", "last_call"})
    shown = [with_target(row) for row in _limited(app, found, limit)]
    said = f"{of(len(found), total, 'instance')}; {open_} of all still allow IMDSv1. {_as_of(fleet, at)}"
    rows = [_readable(row) for row in shown] if app.output == "table" else shown
    document = {
        "as_of": fleet.swept["ended_at"] if fleet.swept else None,
        "count": len(found),
        "unseen": fleet.unseen,
        "instances": [as_values(_chosen(row)) for row in shown],
    }
    show(app, document, Table(COLUMNS, rows), summary=said, empty=said)
    if total and not found:
        _hint(words, seen)


def _limited(app: App, found: list[Row], limit: int | None) -> list[Row]:
    if limit is None and app.output == "table" and app.file is None and is_terminal(sys.stdout):
        limit = _FEW
    if limit is None or len(found) <= limit:
        return found
    note(f"The first {limit} of {len(found)} are shown; --limit shows more, --file list.csv writes all.")
    return found[:limit]


def _key(row: Row, sort: str) -> tuple[Any, ...]:
    first: Any = int(row["calls"] or 0) if sort == "calls" else row[sort]
    return (first, row["account"], row["region"], row["instance_id"])


def _chosen(row: Row) -> dict[str, str]:
    return {each.name: row.get(each.name, "") for each in COLUMNS}


def _readable(row: Row) -> dict[str, str]:
    times = {each: short(row[each]) for each in ("since", "last_call", "next_at")}
    return {**row, **times, "cohort": row["cohort"].split("/", 3)[-1]}


def _as_of(fleet: Fleet, at: datetime) -> str:
    if fleet.swept is None:
        return "No sweep has written the fleet yet, so this is what the ledger knows; imdsv2 sweep starts one."
    kind = "dry sweep" if fleet.swept["dry_run"] else "sweep"
    ended = f"Last {kind}: {short(fleet.swept['ended_at'])} UTC ({ago(fleet.swept['ended_at'], at)})."
    if not (unseen := len(fleet.unseen)):
        return ended
    what = "account or Region was" if unseen == 1 else "accounts or Regions were"
    return f"{ended} {unseen} {what} not seen, and may have more: imdsv2 status names them."


def _hint(words: dict[str, tuple[str, ...]], seen: dict[str, set[str]]) -> None:
    """Name what was probably meant, where no instance has what was asked for."""
    for option, (column, where) in _HINTED.items():
        for each in words[option]:
            if not any(sign in each for sign in "*?") and not _is_there(option, each, seen[column]):
                # Of a key of a cohort, people name what follows the Region.
                note_stranger(
                    where, each, {value.split("/", 3)[-1] if option == "cohort" else value for value in seen[column]}
                )


def _is_there(option: str, given: str, seen: set[str]) -> bool:
    return given in seen if option in EXACT else any(given.lower() in each.lower() for each in seen)
