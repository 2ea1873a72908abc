"""Commands about what has happened: undo, clear, mended, close-breaker."""

from __future__ import annotations

import click

from imdsv2_cli import times
from imdsv2_cli.aws import ask
from imdsv2_cli.base import App, Command
from imdsv2_cli.confirm import confirm, dry_run_option, reason_option, yes_option
from imdsv2_cli.failure import Exit, Failure, usage
from imdsv2_cli.naming import account_option, instances_argument, needed_account_option, region_option
from imdsv2_cli.output import Column, Table, note, show
from imdsv2_cli.scope import cohort_option, scope_of
from imdsv2_cli.steering import Order, steer

_BREAKERS = (Column("account"), Column("opened_at"), Column("done"), Column("problem"))


@click.command(cls=Command)
@instances_argument(required=False)
@account_option
@region_option
@cohort_option
@click.option(
    "--since", metavar="TIME", help="Only what was changed since: a time, or e.g. 2h. Alone: in all accounts."
)
@click.option("--source", metavar="KEY", help="One source that the service has changed, as its message names it.")
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def undo(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    cohort: str | None,
    since: str | None,
    source: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Makes tokens optional again where the service has required them.

    It touches only instances that are still as the service left them. They stay held (undone_by_person) until they are cleared. What
    cannot be put back within this call is put back by the guard within minutes. A cohort, an account or a time includes the sources
    that the service has changed there.
    """
    if source is not None:
        if instances or account or in_region or cohort or since:
            raise usage("a source is a scope of its own", todo="leave out what is named beside it")
        return steer(
            app,
            Order(word="undo", says="Roll back", scope={"source": source}, fields={"reason": reason}),
            yes=yes,
            dry_run=dry_run,
        )
    limit = {"since": times.to_text(times.moment(since, "--since"))} if since else {}
    named = bool(instances or account or cohort or in_region)
    scope = {
        **(
            scope_of(app, instances, cohort=cohort, account=account, region=in_region, more=("--since", "--source"))
            if named or not since
            else {}
        ),
        **limit,
    }
    order = Order(word="undo", says="Roll back", scope=scope, fields={"reason": reason})
    return steer(app, order, yes=yes, dry_run=dry_run)


@click.command(cls=Command)
@instances_argument(required=False)
@account_option
@region_option
@cohort_option
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def clear(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    cohort: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Settles what is held against instances: that they broke, were undone or changed back.

    Fix the software first. The answer says what is voided. The instance is judged at its turn, within minutes; a cohort that was held
    by it goes on. An instance that is enforced stays so, and calls that were refused before no longer count.
    """
    scope = scope_of(app, instances, cohort=cohort, account=account, region=in_region)
    # What breaks while somebody reads is not settled by their yes. A cohort is settled as a whole, with what has ended, as of what was shown.
    order = Order(
        word="clear", says="Clear", scope=scope, fields={"reason": reason}, as_shown=cohort is None, as_of=True
    )
    return steer(app, order, yes=yes, dry_run=dry_run)


@click.command(cls=Command)
@instances_argument(required=False)
@account_option
@region_option
@cohort_option
@click.option(
    "--at", "at", metavar="TIME", required=True, help="When it ran anew: a time, now, or how long ago, e.g. 2h."
)
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def mended(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    cohort: str | None,
    at: str,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Says that software was updated and ran anew: the evidence begins there.

    EC2 does not show reboots, so this is how the service learns that boot software ran again. The instance has to run clean from that
    time on, as long as any other.
    """
    scope = scope_of(app, instances, cohort=cohort, account=account, region=in_region, may_be_account=False)
    fields = {"at": times.to_text(times.moment(at, "--at")), "reason": reason}
    return steer(
        app,
        Order(word="mended", says="Begin the evidence anew of", scope=scope, fields=fields),
        yes=yes,
        dry_run=dry_run,
    )


@click.command(cls=Command)
@needed_account_option
@reason_option
@yes_option
@dry_run_option
@click.pass_obj
def close_breaker(app: App, account: str, reason: str | None, yes: bool, dry_run: bool) -> Exit:
    """Closes the circuit breaker of an account, so that changes go on there.

    Find out first what the instances that broke have in common. They stay held until they are cleared; earlier rollbacks no longer
    count.
    """
    payload = {"close_breaker": {"account": account}, **({"reason": reason} if reason else {})}
    answer = ask(app, {**payload, "dry_run": True})
    [breaker] = answer["results"]
    if dry_run or breaker["problem"]:
        show(app, answer, Table(_BREAKERS, answer["results"]))
        return Exit.NOTHING if breaker["problem"] else Exit.DONE
    note(f"The circuit breaker of account {account} has been open since {breaker['opened_at']}.")
    confirm(f"Close the circuit breaker of account {account}", yes=yes)
    # Somebody may have read for minutes, and what broke since is for nobody's yes.
    if not yes and ask(app, {**payload, "dry_run": True})["results"][0]["opened_at"] != breaker["opened_at"]:
        why = "the breaker has been closed, or has opened anew, since it was shown"
        raise Failure("nothing was changed", why, "look with imdsv2 status, and repeat the command", code=Exit.NOTHING)
    done = ask(app, {**payload, "dry_run": False, "caller": app.caller})
    show(app, done, Table(_BREAKERS, done["results"]))
    return Exit.DONE if done["results"][0]["done"] else Exit.FAILED
