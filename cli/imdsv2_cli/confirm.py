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


def confirm(what: str, *, yes: bool, phrase: str = "yes", option: str = "--yes") -> None:
    """Return if it may be done: by `--yes`, or by what is typed at the terminal.

    Args:
        what: the question, without its mark.
        yes: whether the command line has answered it.
        phrase: what has to be typed.
        option: how a command line answers it.

    Raises Failure if the answer is another one, or if nobody can be asked.
    """
    if yes:
        return
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise usage(
            "nothing was changed", "nobody can be asked here, because this is no terminal", f"say {option} to do it"
        )
    quoted = phrase if phrase.isalpha() else f'"{phrase}"'
    try:
        answer = click.prompt(
            for_terminal(f"{what}? Type {quoted} to go on"), default="no", show_default=False, err=True
        )
    except click.Abort:  # Ctrl-C, or the end of what is typed.
        click.echo("\nNothing was changed.", err=True)
        raise
    if " ".join(answer.lower().replace('"', " ").split()) != phrase:
        raise Failure("nothing was changed", f"the answer was not {quoted}", code=Exit.NOTHING)
