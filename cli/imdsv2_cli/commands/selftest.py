"""`imdsv2 selftest`: tries in an account what the service believes about AWS."""

from __future__ import annotations

from typing import Any

import click

from imdsv2_cli.base import App, Command
from imdsv2_cli.confirm import confirm, yes_option
from imdsv2_cli.executions import follow, read_json, start
from imdsv2_cli.failure import Exit, Failure
from imdsv2_cli.naming import needed_account_option, region_option
from imdsv2_cli.output import Column, Table, cell, note, show
from imdsv2_cli.wording import count

_BELIEFS = (
    Column("belief"),
    Column("outcome"),
    Column("statement", spare=2),
    Column("expected", spare=1),
    Column("seen"),
    Column("if_wrong", csv_only=True),
    Column("for_safety", csv_only=True),
)


@click.command(cls=Command)
@needed_account_option
@region_option
@click.option("--subnet", metavar="ID", help="Subnet of the instances; otherwise one of the default VPC.")
@click.option(
    "--line/--no-line",
    default=True,
    help="Whether the service itself changes one of them, which takes longer (default).",
)
@click.option("--execution", metavar="ARN", help="Follow this one, in place of starting another.")
@yes_option
@click.pass_obj
def selftest(
    app: App,
    account: str,
    in_region: str | None,
    subnet: str | None,
    line: bool,
    execution: str | None,
    yes: bool,
) -> Exit:
    """Tries in an account what the service believes about AWS.

    It launches five small instances, which end by themselves, and takes one to three hours. The plan with its cost is shown first.
    docs/beliefs.md lists what is tried.
    """
    machine = app.outputs.get("SelfTestStateMachineArn")
    if machine is None:
        raise Failure("the self-test is not deployed", todo='set "selftest": true in cdk.json and deploy the stack')
    if execution is None:
        given: dict[str, Any] = {"account": account, "region": in_region or app.home, "line": line}
        given |= {"subnet": subnet} if subnet else {}
        planned = start(app, machine, given)
        plan = follow(app, planned, "Planning", again=f"imdsv2 selftest --account {account}", counts=lambda: None)
        for name, value in plan.items():
            note(f"{name}: {cell(value)}")
        confirm("Launch the instances of this plan", yes=yes)
        execution = start(app, machine, {**given, "confirm": True})
    again = f"imdsv2 selftest --account {account} --execution {execution}"
    note(f"Started. You may stop to watch with Ctrl-C; to follow it again: {again}")
    kept = f"selftest/{execution.rsplit(':', 1)[-1]}/result.json"
    todo = f"its instances are ended; what was tried is in the service's bucket, as {kept}; docs/beliefs.md says what a launch needs"
    result = follow(app, execution, "Trying", again=again, counts=lambda: None, todo=todo)
    return _show(app, execution, result)


def _show(app: App, execution: str, result: dict[str, Any]) -> Exit:
    found = read_json(app, result["bucket"], result["key"]) if {"bucket", "key"} <= result.keys() else result
    rows = found.get("beliefs", [])
    wrong = [row for row in rows if row["outcome"] == "contradicted"]
    untried = [row for row in rows if row["outcome"] == "not tried"]
    summary = f"{count(len(rows) - len(untried), 'belief')} tried, {len(wrong)} contradicted, {len(untried)} not tried."
    show(app, {"execution": execution, **found}, Table(_BELIEFS, rows), summary=summary)
    for said in ("policy", "next"):
        if found.get(said):
            note(str(found[said]))
    return Exit.FAILED if wrong else Exit.DONE
