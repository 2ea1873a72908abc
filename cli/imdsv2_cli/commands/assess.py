"""`imdsv2 assess`: a dry run; and `imdsv2 enforce`, which does what it shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.base import App, Command, writable
from imdsv2_cli.confirm import confirm, dry_run_option, yes_option
from imdsv2_cli.failure import Exit, usage
from imdsv2_cli.fleet.places import swept_places
from imdsv2_cli.naming import account_option, find, instances_argument, region_option, resolve
from imdsv2_cli.output import note, note_rows, show
from imdsv2_cli.plans import read_plan, still_as_planned, write_plan
from imdsv2_cli.verdicts import changed_of, failed, judge, outcome_of, summary_of, table_of, would_change
from imdsv2_cli.wording import of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NONE_THERE = "No instance was found there that allows IMDSv1."
_NONE_KNOWN = "The ledger knows no instance that allows IMDSv1. To ask elsewhere, name instances, --account or --tag; imdsv2 sweep looks everywhere."

tag_option = click.option(
    "--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Only instances with this tag; may be repeated."
)


@click.command(cls=Command)
@instances_argument(required=False)
@account_option
@region_option
@tag_option
@click.option(
    "--plan",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    help="Write what is shown to this file, for approve and enforce.",
)
@click.pass_obj
def assess(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    tags: tuple[str, ...],
    plan: Path | None,
) -> Exit:
    """Says what would happen to instances, and why; changes nothing.

    The service reads EC2 and CloudWatch as it would for a finding, and answers with its verdict, the evidence, and whether EC2 would
    permit the change. Name instances by ARN, by id or by the tag Name (`-` reads names from standard input), or choose by --account,
    --in-region and --tag those that allow IMDSv1. Accounts, Regions and tags are looked for wherever the last sweep saw instances, or the
    ledger knows some. Without any of these, all are judged of which the ledger knows.
    """
    targets = chosen(app, instances, account, in_region, tags)
    answer = _judged(app, targets)
    show(
        app,
        answer,
        table_of(answer["results"]),
        summary=summary_of(answer) if targets else "",
        empty=_NONE_THERE if instances or account or in_region or tags else _NONE_KNOWN,
    )
    if plan is not None:  # Also where nothing was found: what an earlier plan names was not asked for.
        write_plan(app, plan, answer)
    return Exit.FAILED if failed(answer) else Exit.DONE


@click.command(cls=Command)
@instances_argument(required=False)
@account_option
@region_option
@tag_option
@click.option(
    "--plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="What imdsv2 assess --plan wrote."
)
@yes_option
@dry_run_option
@click.pass_obj
def enforce(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    tags: tuple[str, ...],
    plan: Path | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Requires tokens on instances whose evidence allows it.

    A dry run shows first what would be changed and what holds the others; only what it shows is changed, and only if the same evidence
    and every gate allow it still. This acts in the mode observe, too. With --plan, exactly that is changed which was planned and is
    still as it was.
    """
    if plan is not None and (instances or account or in_region or tags):
        raise usage("a plan names its own instances", todo="leave out instances, --account, --in-region and --tag")
    if plan is not None:
        targets = still_as_planned(app, read_plan(plan))
    elif instances or account or tags:
        targets = chosen(app, instances, account, in_region, tags)
    else:
        raise usage("nothing was named", todo="name instances, --account, --tag or --plan")
    preview = _judged(app, targets)
    ready = [each["target"] for each in preview["results"] if would_change(each)]
    if dry_run or not ready:
        show(
            app,
            preview,
            table_of(preview["results"]),
            summary=summary_of(preview) if targets else "",
            empty="There is nothing to do.",
        )
        return Exit.DONE if ready else Exit.NOTHING
    _note(preview)
    confirm(f"Require tokens on {of(len(ready), len(targets), 'instance')}", yes=yes)
    answer = judge(app, ready, dry_run=False)
    show(app, answer, table_of(answer["results"]), summary=changed_of(answer))
    return outcome_of(answer)


def _note(preview: Mapping[str, Any]) -> None:
    results = preview["results"]
    note_rows(table_of(sorted(results, key=would_change, reverse=True)), len(results))
    note(summary_of(preview))


def _judged(app: App, targets: Sequence[str]) -> dict[str, Any]:
    """The service's verdicts as a dry run gives them; it is not asked about nothing."""
    return judge(app, targets) if targets else {"dry_run": True, "mode": None, "results": []}


def chosen(
    app: App, instances: Sequence[str], account: str | None, region: str | None, tags: Sequence[str]
) -> list[str]:
    """The named instances; without names, those that allow IMDSv1 and fit the account, Region and tags. Raises Failure."""
    if instances and tags:
        raise usage("both instances and tags were named", todo="name the instances, or choose them by --tag")
    if instances:
        return resolve(app, instances, account, region)
    pairs = {}
    for each in tags:
        key, separator, value = each.partition("=")
        if not separator or not key:
            raise usage(f"{each[:80]} is no tag", todo="write --tag KEY=VALUE")
        pairs[key] = value
    places = swept_places(app, account, region) if account or region or pairs else []
    found = find(app, account=account, region=region, tags=pairs, places=places)
    return [each["target"] for each in found["results"] if each["http_tokens"] != "required"]
