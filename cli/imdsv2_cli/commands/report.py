"""`imdsv2 report`: the fleet on one page."""

from __future__ import annotations

from pathlib import Path

import click

from imdsv2_cli.base import App, Command
from imdsv2_cli.commands.fleet_list import COLUMNS
from imdsv2_cli.failure import usage
from imdsv2_cli.files import refuse_unwritable
from imdsv2_cli.fleet.joined import Fleet, with_target
from imdsv2_cli.fleet.when import now
from imdsv2_cli.output import Table, as_csv, deliver, progress

FORMS = ("html", "csv", "markdown")
_BY_SUFFIX = {".html": "html", ".htm": "html", ".csv": "csv", ".md": "markdown", ".json": "json"}


@click.command(cls=Command)
@click.option(
    "--format", "form", type=click.Choice(FORMS), help="html (default), csv or markdown; also by the name of --file."
)
@click.pass_obj
def report(app: App, form: str | None) -> None:
    """Writes the report: progress with a forecast, verdicts, callers, sources, changes, exemptions.

    One HTML file that needs no network, for a browser, a mail or a ticket; without --file it is imdsv2-report.html here. CSV has every
    instance, Markdown the tables.
    """
    form = form or (_BY_SUFFIX.get(app.file.suffix.lower()) if app.file else None) or app.asked_output or "html"
    if form not in FORMS:
        raise usage(
            f"a report is not written as {form}",
            todo=f"name one of {', '.join(FORMS)} with --format, or use imdsv2 list",
        )
    if form == "html" and app.file is None:
        app.file = Path("imdsv2-report.html")
        refuse_unwritable(app.file)
    at = now()
    with progress("Reading the fleet"):
        fleet = Fleet(app, at)
        if form == "csv":
            rows = sorted(fleet.rows(), key=lambda row: (row["account"], row["region"], row["instance_id"]))
            text = as_csv(Table(COLUMNS, list(map(with_target, rows))))
        else:
            from imdsv2_cli.report import markdown, page
            from imdsv2_cli.report.numbers import count

            make = page.render if form == "html" else markdown.render
            text = make(count(fleet.rows(), at), fleet.swept)
    deliver(app, text)
