"""`imdsv2 graduate`: whether an account and Region is done, and the lock on its metadata defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.aws import ask
from imdsv2_cli.base import App, Command
from imdsv2_cli.confirm import confirm, dry_run_option, reason_option, yes_option
from imdsv2_cli.failure import Exit, usage
from imdsv2_cli.naming import needed_account_option, needed_region_option
from imdsv2_cli.output import Column, Table, cell, note, progress, show
from imdsv2_cli.wording import typed

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPEN = (Column("what"), Column("name"), Column("explanation", speaks=True))
_DONE = (
    Column("account"),
    Column("region"),
    Column("result"),
    Column("ready"),
    Column("defaults"),
    Column("before"),
)
_CHANGES = {"would_lock": "Lock", "would_unlock": "Unlock"}
_CARRIED_OUT = frozenset({"locked", "unlocked"})
_UNSETTLED = frozenset({"locking", "failed"})
"""The ledger's word where an answer was lost: sending the command again completes it."""


@click.command(cls=Command)
@needed_account_option
@needed_region_option
@click.option(
    "--hop-limit",
    type=click.IntRange(1, 64),
    metavar="N",
    help="First step: also make this the default hop limit; containers need 2.",
)
@click.option("--enforce", is_flag=True, help="Second step: launches that allow IMDSv1 fail, and so do rollbacks.")
@click.option("--unlock", is_flag=True, help="Put back everything that was set, as it was before the first step.")
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def graduate(
    app: App,
    account: str,
    in_region: str,
    hop_limit: int | None,
    enforce: bool,
    unlock: bool,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Locks the metadata defaults of an account and Region in which nothing allows IMDSv1 any more.

    What is still open there is listed, each with how to settle it, and then nothing is changed. The first step makes tokens the default of
    every launch that says nothing of them, --enforce is a second step some weeks later, and --unlock puts back both.
    """
    _refuse_mixed(hop_limit, enforce=enforce, unlock=unlock)
    scope: dict[str, Any] = {"account": account, "region": in_region}
    scope |= {"hop_limit": hop_limit} if hop_limit is not None else {}
    scope |= {name: True for name, given in (("enforce", enforce), ("unlock", unlock)) if given}
    payload = {"graduate": scope, **({"reason": reason} if reason else {})}
    with progress("Looking at what is open"):
        shown = ask(app, {**payload, "dry_run": True})
    changes = _CHANGES.get(shown["result"])
    if changes is None and shown["result"] == "already_locked" and shown["status"] in _UNSETTLED and not dry_run:
        return _answer(app, _sent(app, payload))
    if changes is None or dry_run:
        return _answer(app, shown)
    _note(shown, enforce=enforce)
    confirm(f"{changes} the metadata defaults of account {account}, {in_region}", yes=yes)
    return _answer(app, _sent(app, payload))


def _sent(app: App, payload: Mapping[str, Any]) -> dict[str, Any]:
    with progress("Asking the service"):
        done: dict[str, Any] = ask(app, {**payload, "dry_run": False, "caller": app.caller})
    return done


def _refuse_mixed(hop_limit: int | None, *, enforce: bool, unlock: bool) -> None:
    if unlock and (enforce or hop_limit is not None):
        raise usage(
            "--unlock takes nothing beside it", "it puts back everything that was set", "leave the other option out"
        )
    if enforce and hop_limit is not None:
        raise usage("--hop-limit belongs to the first step", todo="send it without --enforce, then --enforce alone")


def _note(shown: Mapping[str, Any], *, enforce: bool) -> None:
    """Show on standard error what would be set, and who would notice."""
    planned = shown["planned_call"]
    note(
        f"Would set: {cell(planned)}." if planned else "The defaults are as they shall be; only the ledger is settled."
    )
    launchers = shown["launches"]["would_get_tokens"]
    for each in launchers:
        note(
            f"Says nothing of tokens, and would get them: {each['principal']} ({each['user_agent']}, {each['at'][:10]})"
        )
    if launchers:
        note("Ask their owners first: nobody has observed software that is gone within an hour.")
    if enforce:
        note("From then on EC2 refuses to make tokens optional there, for this service's rollbacks as well.")


def _answer(app: App, answer: Mapping[str, Any]) -> Exit:
    open_ = answer["open"]
    table = Table(_OPEN, open_) if open_ and answer["result"] == "refused" else Table(_DONE, [answer])
    show(app, answer, table, summary=typed(answer["explanation"]))
    result = answer["result"]
    if result == "failed":
        return Exit.FAILED
    return Exit.DONE if result in _CHANGES or result in _CARRIED_OUT else Exit.NOTHING
