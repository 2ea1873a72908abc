"""Commands by which people decide what may be changed: approve, refuse, hold, release, accept."""

from __future__ import annotations

from pathlib import Path

import click

from imdsv2_cli import times
from imdsv2_cli.base import App, Command
from imdsv2_cli.confirm import dry_run_option, reason_option, yes_option
from imdsv2_cli.failure import Exit, usage
from imdsv2_cli.naming import account_option, instances_argument, region_option, resolve
from imdsv2_cli.plans import read_plan, still_as_planned
from imdsv2_cli.scope import cohort_option, scope_of
from imdsv2_cli.steering import Order, steer

owner_option = click.option("--owner", metavar="NAME", required=True, help="Who answers for it.")
needed_reason_option = click.option("--reason", metavar="TEXT", required=True, help="Why; the ledger keeps it.")
until_option = click.option("--until", metavar="DAY", required=True, help="The last day: YYYY-MM-DD, or e.g. 30d.")


@click.command(cls=Command)
@instances_argument(required=False)
@account_option
@region_option
@cohort_option
@click.option(
    "--plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="What imdsv2 assess --plan wrote."
)
@click.option(
    "--until", metavar="DAY", help="When the approval expires: YYYY-MM-DD, or e.g. 3d; after seven days by default."
)
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def approve(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    cohort: str | None,
    plan: Path | None,
    until: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Approves changes that wait for it.

    Name instances, or approve everything that waits in an account, Region or cohort. With --plan, exactly that is approved which the
    dry run showed; every instance is judged again, and what is no longer as it was shown is left out and listed. What somebody has
    refused is approved only if it is named. One attempt uses an approval up.
    """
    if plan is not None:
        if instances or account or in_region or cohort:
            raise usage(
                "a plan names its own instances", todo="leave out instances, --account, --in-region and --cohort"
            )
        targets = still_as_planned(app, read_plan(plan))
        if not targets:
            return Exit.NOTHING
        scope = {"targets": targets}
    else:
        scope = scope_of(app, instances, cohort=cohort, account=account, region=in_region)
    last = times.day(until, "--until").isoformat() if until else None
    fields = {"until": last, "reason": reason}
    return steer(
        app, Order(word="approve", says="Approve", scope=scope, fields=fields, as_shown=True), yes=yes, dry_run=dry_run
    )


@click.command(cls=Command)
@instances_argument(required=False)
@account_option
@region_option
@cohort_option
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def refuse(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    cohort: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Refuses changes that wait for approval.

    A refused instance is not changed until somebody approves it by name.
    """
    scope = scope_of(app, instances, cohort=cohort, account=account, region=in_region)
    order = Order(word="refuse", says="Refuse", scope=scope, fields={"reason": reason}, as_shown=True)
    return steer(app, order, yes=yes, dry_run=dry_run)


@click.command(cls=Command)
@instances_argument()
@account_option
@region_option
@owner_option
@needed_reason_option
@until_option
@yes_option
@dry_run_option
@click.pass_obj
def hold(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    owner: str,
    reason: str,
    until: str,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Holds instances: nothing is changed on them until a day has passed.

    Unlike imdsv2 exempt, this is noted in the service's ledger and needs no rights in the account of the instance. People are
    reminded three days before it ends.
    """
    targets = resolve(app, instances, account, in_region)
    fields = {"owner": owner, "reason": reason, "until": times.day(until, "--until").isoformat()}
    return steer(
        app, Order(word="hold", says="Hold", scope={"targets": targets}, fields=fields), yes=yes, dry_run=dry_run
    )


@click.command(cls=Command)
@instances_argument()
@account_option
@region_option
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def release(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Ends a hold before its day.

    The instance is judged within minutes, like any other.
    """
    scope = {"targets": resolve(app, instances, account, in_region)}
    return steer(
        app, Order(word="release", says="Release", scope=scope, fields={"reason": reason}), yes=yes, dry_run=dry_run
    )


@click.command(cls=Command)
@instances_argument()
@account_option
@region_option
@owner_option
@needed_reason_option
@until_option
@yes_option
@dry_run_option
@click.pass_obj
def accept(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    owner: str,
    reason: str,
    until: str,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Lets instances be changed in spite of what their evidence says.

    It passes v1_in_use, v1_recurs, v1_at_boot, hop_limit_fallback, boot_not_observable, too_young and cohort_uses_v1, and nothing else.
    The change is watched, and rolled back if software breaks. One attempt uses it up; --until is at most 400 days ahead.
    """
    targets = resolve(app, instances, account, in_region)
    fields = {"owner": owner, "reason": reason, "until": times.day(until, "--until").isoformat()}
    return steer(
        app, Order(word="accept", says="Accept", scope={"targets": targets}, fields=fields), yes=yes, dry_run=dry_run
    )
