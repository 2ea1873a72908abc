"""`imdsv2 guardrails`: what the organisation's policies would block, before anybody attaches them."""

from __future__ import annotations

from typing import Any

import click

from imdsv2_cli.aws import ask
from imdsv2_cli.base import App, Command
from imdsv2_cli.failure import Exit, usage
from imdsv2_cli.naming import account_option, region_option
from imdsv2_cli.output import Column, Table, note, progress, show

_HITS = (
    Column("guardrail"),
    Column("blocked"),
    Column("account", spare=2),
    Column("region", spare=3),
    Column("kind", spare=4),
    Column("name"),
    Column("target", spare=5),
    Column("explanation", speaks=True, spare=1),
)


@click.command(cls=Command)
@account_option
@region_option
@click.option(
    "--max-hop-limit",
    type=click.IntRange(1, 64),
    metavar="N",
    help="The hops that the guardrail would allow; 2 if it is left out, as in the setting.",
)
@click.pass_obj
def guardrails(app: App, account: str | None, in_region: str | None, max_hop_limit: int | None) -> Exit:
    """Says what the organisation's guardrails would block today; changes nothing.

    Named are sources whose next launch would be denied, and instances whose calls would be. Without --account, all accounts are looked at
    of which the ledger knows. An empty cell under "blocked" means that it cannot be told yet.
    """
    if in_region and not account:
        raise usage("--in-region needs --account", todo="name the account beside it")
    scope: dict[str, Any] = {"account": account, "region": in_region, "max_hop_limit": max_hop_limit}
    with progress("Looking at sources and instances"):
        answer = ask(app, {"guardrails": {name: value for name, value in scope.items() if value is not None}})
    for problem in answer["problems"]:
        note(problem)
    if answer.get("places") == 0:
        note("Nothing was looked at, because the ledger knows no instance yet: name --account and --in-region.")
    show(app, answer, Table(_HITS, answer["results"]), summary=answer["summary"])
    return Exit.DONE
