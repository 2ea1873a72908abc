"""`imdsv2 sweep`: goes through every account and Region."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.base import App, Command
from imdsv2_cli.confirm import confirm, yes_option
from imdsv2_cli.executions import follow, places_done, read_json, start
from imdsv2_cli.failure import Exit
from imdsv2_cli.output import Column, Table, note, show
from imdsv2_cli.unswept import unswept
from imdsv2_cli.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLACES = (
    Column("account"),
    Column("region"),
    Column("instances"),
    Column("imdsv1_allowed", "allow IMDSv1"),
    Column("already_required", "require tokens", spare=3),
    Column("endpoint_disabled", spare=4),
    Column("not_there", spare=5),
    Column("failed", spare=1),
    Column("by_verdict", "verdicts", spare=2),
    Column("error"),
)


@click.command(cls=Command)
@click.option("--account", "accounts", metavar="ID", multiple=True, help="Only this account; may be repeated.")
@click.option("--in-region", "regions", metavar="REGION", multiple=True, help="Only this Region; may be repeated.")
@click.option(
    "--dry-run/--real",
    "dry_run",
    default=True,
    help="Whether it only looks (default) or acts as the nightly sweep does.",
)
@click.option("--wait/--no-wait", default=True, help="Whether to follow it to its end (default).")
@click.option("--execution", metavar="ARN", help="Follow this one, in place of starting another.")
@yes_option
@click.pass_obj
def sweep(
    app: App,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    dry_run: bool,
    wait: bool,
    execution: str | None,
    yes: bool,
) -> Exit:
    """Judges every instance of every account and Region.

    It follows the sweep with its progress, and shows the result for each account and Region. A dry run writes nothing but that. With
    --real it does what the nightly sweep does: in the mode enforce, that includes changes, under the same gates. It ends with 1 if an
    account, a Region or an instance could not be looked at; the last line names them, and what to do.
    """
    if execution is None:
        given: dict[str, Any] = {"dry_run": dry_run}
        given |= {name: list(each) for name, each in (("accounts", accounts), ("regions", regions)) if each}
        _check(given)
        if not dry_run:
            note(f"The sweep acts as the policy says, in {_where(given)}. imdsv2 policy show says in which mode.")
            confirm("Start a sweep that acts", yes=yes)
        execution = start(app, app.stack_output("SweepStateMachineArn"), given)
    again = f"imdsv2 sweep --execution {execution}"
    if not wait:
        show(
            app,
            {"execution": execution},
            Table((Column("execution"),), [{"execution": execution}]),
            summary=f"To follow it: {again}",
        )
        return Exit.DONE
    result = follow(app, execution, "Sweeping", again=again, counts=partial(places_done, app, execution))
    places = _places(app, result)
    _note_narrowness(app, places, accounts)
    rows = [each for each in places if each.get("error") or each.get("instances") or each.get("not_there")]
    document = {"execution": execution, **result, "places": places}
    show(app, document, Table(_PLACES, places if app.output == "csv" else rows), summary=_summary(result))
    if (failure := unswept(result, places)) is not None:
        raise failure
    return Exit.DONE


def _note_narrowness(app: App, places: Sequence[Mapping[str, Any]], accounts: Sequence[str]) -> None:
    """Say so where only the service's own account was swept: that is seldom what was meant."""
    if not accounts and {each["account"] for each in places} == {app.account}:
        note(
            f"Only the service's own account {app.account} was swept: set organization_id or member_accounts in cdk.json and deploy, "
            "or name accounts with --account."
        )


def _check(given: Mapping[str, Any]) -> None:
    """Refuse what the sweep itself would refuse, before it is started. Raises Failure."""
    from imdsv2.errors import InvalidRequest
    from imdsv2.sweep.order import parse_order
    from imdsv2_cli.failure import usage

    try:
        parse_order(dict(given))
    except InvalidRequest as refused:
        raise usage("the sweep would refuse this", str(refused)) from refused


def _where(given: Mapping[str, Any]) -> str:
    accounts = ", ".join(given.get("accounts", [])) or "all accounts"
    return f"{accounts}; {', '.join(given.get('regions', [])) or 'all Regions'}"


def _places(app: App, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The result for each account and Region, if its file may be read."""
    from botocore.exceptions import ClientError

    try:
        summary = read_json(app, result["bucket"], result["key"])
    except (ClientError, KeyError) as error:
        note(f"The result of each account and Region cannot be read ({error}).")
        return []
    unreachable = [{"account": account, "error": why} for account, why in sorted(summary["unreachable"].items())]
    return [*summary["places"], *unreachable]


def _summary(result: Mapping[str, Any]) -> str:
    verdicts = ", ".join(
        f"{count} {reason}" for reason, count in sorted(result["by_verdict"].items(), key=lambda each: -each[1])
    )
    places, allow, failed = (result.get(name, 0) for name in ("places", "imdsv1_allowed", "errors"))
    there = "1 account and Region" if places == 1 else f"{places} accounts and Regions"
    return (
        f"{there}; {count(result.get('instances', 0), 'instance')}, {allow} {'allows' if allow == 1 else 'allow'} IMDSv1. "
        f"Verdicts: {verdicts or 'none'}. {failed} of these failed, {count(result.get('unreachable', 0), 'account')} unreachable. "
        f"Written to s3://{result.get('bucket')}/{result.get('key')}."
    )
