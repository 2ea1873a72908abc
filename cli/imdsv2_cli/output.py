"""What commands answer: as a table for people, as JSON or CSV for programs; on standard output or in a file."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.clean import for_json, for_spreadsheet, for_terminal
from imdsv2_cli.files import write_file
from imdsv2_cli.narrow import FOLDED, fitting, left_out, needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imdsv2_cli.base import App

_PREVIEWED = 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. ``name``: the key in the rows, and the header in CSV; ``title``: the header for people, by default the
    name. ``csv_only``: too much for a table on a screen. ``speaks``: it has sentences of the service, in which commands are shown as they
    are typed; their payloads are in JSON. ``spare``: on a narrow terminal, the columns with the highest number go first; 0: none does."""

    name: str
    title: str = ""
    csv_only: bool = False
    speaks: bool = False
    spare: int = 0

    @property
    def heading(self) -> str:
        return (self.title or self.name).replace("_", " ")

    def cell(self, row: Mapping[str, Any]) -> str:
        """The text of its cell in a row."""
        text = cell(row.get(self.name))
        if not self.speaks:
            return text
        from imdsv2_cli.wording import typed

        return typed(text)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by the names of columns; a missing value is shown as an empty cell."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]


def show(app: App, document: object, table: Table, *, summary: str = "", empty: str = "Nothing was found.") -> None:
    """Answer in the format that was asked for.

    ``document`` is the answer in JSON, ``table`` in the other formats; below a table stands ``summary``, and ``empty`` in place of one
    that has no rows. Raises Failure if the file cannot be written.
    """
    summary, empty = for_terminal(summary), for_terminal(empty)
    match app.output:
        case "json":
            text = as_json(app, document)
        case "csv":
            text = as_csv(table)
        case _ if not table.rows:
            text = f"{summary or empty}\n"
        case _:
            to_screen = app.file is None and is_terminal(sys.stdout)
            text = as_table(table, to_screen=to_screen) + (f"\n{summary}\n" if summary else "")
    deliver(app, text)


def deliver(app: App, text: str) -> None:
    """Write a whole answer to standard output, or to the file that was asked for. Raises Failure if it cannot be written."""
    if app.file is None:
        click.echo(text, nl=False)
        return
    write_file(app.file, text)
    note(f"Written to {app.file}.")


def as_json(app: App, document: object) -> str:
    """The document as JSON that no terminal obeys, and that a terminal without Unicode shows whole."""
    is_narrow = app.file is None and (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
    return for_json(json.dumps(document, indent=2, ensure_ascii=is_narrow, default=str)) + "\n"


def as_csv(table: Table) -> str:
    """The rows as CSV with a header. No cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([each.name for each in table.columns])
    writer.writerows([[for_spreadsheet(each.cell(row)) for each in table.columns] for row in table.rows])
    return text.getvalue()


def as_table(table: Table, *, to_screen: bool) -> str:
    """The rows as a table: as wide as the screen, or else with each row on one line and without colour."""
    columns = [each for each in table.columns if not each.csv_only]
    cells = [{each.name: for_terminal(each.cell(row)) for each in columns} for row in table.rows]
    return _drawn(columns, cells) if to_screen else _lines(columns, cells)


def _lines(columns: Sequence[Column], cells: Sequence[Mapping[str, str]]) -> str:
    """Each row on one line, however long, for grep; also of 100,000 rows within seconds."""
    heads = {each.name: each.heading for each in columns}
    widths = {name: max(map(_width, (head, *(row[name] for row in cells)))) for name, head in heads.items()}
    lines = []
    for row in (heads, *cells):
        padded = (f"{row[name]}{' ' * (width - _width(row[name]))}" for name, width in widths.items())
        lines.append(f"{'  '.join(padded).rstrip()}\n")
    return "".join(lines)


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _drawn(columns: Sequence[Column], cells: Sequence[Mapping[str, str]]) -> str:
    """As wide as the screen; what it has no room for is left out, and named."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    text = io.StringIO()
    plain = bool(os.environ.get("NO_COLOR"))
    console = Console(
        file=text,
        force_terminal=not plain,
        no_color=plain,
        color_system=None if plain else "auto",
        legacy_windows=False,
    )
    kept, fits = fitting(columns, cells, console.width)
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for each in kept:
        width = needed(each, cells)
        drawn.add_column(Text(each.heading), overflow="fold", min_width=width if fits or width < FOLDED else None)
    for row in cells:
        drawn.add_row(*(Text(row[each.name]) for each in kept))
    console.print(drawn)
    lines = "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
    return f"{lines}{left_out(columns, kept)}"


def cell(value: object) -> str:
    """A value as the text of a cell."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case dict():
            return ", ".join(f"{name}={cell(each)}" for name, each in value.items())
        case list() | tuple() | set() | frozenset():
            return ", ".join(cell(each) for each in value)
        case _:
            return str(value)


def note_rows(table: Table, total: int) -> None:
    """Show the first rows of what would be done, beside the answer, on standard error. ``total``: how many there are."""
    first = replace(table, rows=table.rows[:_PREVIEWED])
    note(as_table(first, to_screen=is_terminal(sys.stderr)).rstrip())
    if total > _PREVIEWED:
        note(f"... and {total - _PREVIEWED} more")


def note(text: str) -> None:
    """Say something beside the answer, on standard error."""
    click.echo("\n".join(for_terminal(line) for line in text.splitlines()), err=True)


def is_terminal(stream: object) -> bool:
    """Whether a stream is a terminal; a closed one is none."""
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return False


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how far long work has come, on a terminal only. Yields a function that is told how much more is done.

    ``total``: how much there is to do; None if that is not known.
    """
    if not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    known = [BarColumn(), MofNCompleteColumn()] if total is not None else []
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), *known, TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(for_terminal(label), total=total)
        yield lambda done: bar.advance(task, done)
