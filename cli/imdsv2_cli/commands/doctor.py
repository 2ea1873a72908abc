"""`imdsv2 doctor`: looks at everything that the service depends on."""

from __future__ import annotations

import click

from imdsv2_cli.base import App, Command
from imdsv2_cli.doctor import OUTCOMES, Outcome, examine
from imdsv2_cli.failure import Exit
from imdsv2_cli.output import Column, Table, progress, show
from imdsv2_cli.wording import count

_CHECKS = (Column("check"), Column("outcome"), Column("found"), Column("mend", "what to do"))


@click.command(cls=Command)
@click.option("--all", "everything", is_flag=True, help="List what is well, too.")
@click.option(
    "--members/--no-members", default=True, help="Whether roles and Config of the accounts are examined (default)."
)
@click.pass_obj
def doctor(app: App, everything: bool, members: bool) -> Exit:
    """Looks for what keeps the service from working, with the command that mends it.

    It reads the stack, functions, schedules, policy, alarms and their subscriptions, dead letters, Security Hub, StackSets and the last
    sweep, has the service try the roles of each account by dry runs on instances that exist, and asks Config there whether it records
    these. Nothing is changed. What your own rights or the fleet do not allow to be proved is listed as unproved. It ends with 1 if there
    is a fault.
    """
    with progress("Examining") as _:
        found = examine(app, members=members)
    rows = [each.row() for each in found if everything or each.outcome is not Outcome.WELL]
    counted = {outcome: sum(each.outcome is outcome for each in found) for outcome in OUTCOMES}
    others = [f"{counted[each]} {each}" for each in OUTCOMES if each is not Outcome.FAULT]
    summary = ", ".join([count(counted[Outcome.FAULT], "fault"), *others]) + "."
    answer = {"checks": [each.row() for each in found], **{str(outcome): number for outcome, number in counted.items()}}
    show(app, answer, Table(_CHECKS, rows), summary=summary)
    return Exit.FAILED if counted[Outcome.FAULT] else Exit.DONE
