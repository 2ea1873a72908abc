"""Before anything is changed: somebody has seen what will happen, and has said so."""

from __future__ import annotations

import sys

import click

from imdsv2_cli.clean import for_terminal
from imdsv2_cli.failure import Exit, Failure, usage
from imdsv2_cli.output import is_terminal

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask; do it.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what would be done.")
reason_option = click.option("--reason", metavar="TEXT", help="Why; the ledger keeps it beside your name.")


def confirm(what: str, *, yes: bool) -> None:
    """Return if it may be done: by `--yes`, or by "yes" typed at the terminal. ``what``: the question, without its mark.

    Raises Failure if the answer is another one, or if nobody can be asked.
    """
    if yes:
        return
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise usage(
            "nothing was changed", "nobody can be asked here, because this is no terminal", "say --yes to do it"
        )
    try:
        answer = click.prompt(for_terminal(f"{what}? Type yes to go on"), default="no", show_default=False, err=True)
    except click.Abort:  # Ctrl-C, or the end of what is typed.
        click.echo("\nNothing was changed.", err=True)
        raise
    if answer.strip().lower() != "yes":
        raise Failure("nothing was changed", "the answer was not yes", code=Exit.NOTHING)
