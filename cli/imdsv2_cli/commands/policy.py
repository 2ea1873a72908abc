"""`imdsv2 policy`: shows, checks, compares and changes the policy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli import times
from imdsv2_cli.base import App, Family
from imdsv2_cli.confirm import confirm, dry_run_option, yes_option
from imdsv2_cli.failure import Exit, usage
from imdsv2_cli.ledger import read_attributes, waiting
from imdsv2_cli.output import Column, Table, cell, note, show
from imdsv2_cli.policies import (
    Parameter,
    assign,
    differences,
    earlier_version,
    in_force,
    policies_of,
    read_file,
    read_parameter,
    write_parameter,
)
from imdsv2_cli.wording import of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.policy import Policy

_FIELDS = (Column("field"), Column("value"), Column("set", "written down"))
_CHANGES = (Column("field"), Column("before"), Column("after"))
_CONCERNED = (Column("reason"), Column("becomes"), Column("instances"), Column("why"))

assignments_argument = click.argument("assignments", metavar="[FIELD=VALUE]...", nargs=-1)
from_option = click.option(
    "--from", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A whole document, as JSON."
)
unset_option = click.option(
    "--unset", metavar="FIELD", multiple=True, help="Return this field to its default; may be repeated."
)


@click.group(cls=Family)
def policy() -> None:
    """Shows and changes the policy, which says what the service may do.

    The policy is one JSON document in a parameter of Systems Manager. A change is live within a minute.
    """


@policy.command(name="show")
@click.pass_obj
def show_(app: App) -> None:
    """Shows the policy in force: each field with its value, and who wrote it when."""
    found = read_parameter(app)
    values = in_force(found)
    rows = [{"field": name, "value": value, "set": name in found.document} for name, value in values.items()]
    summary = f"Version {found.version}, written {found.modified_at:%Y-%m-%d %H:%M UTC} by {found.modified_by}."
    document = {
        "parameter": found.name,
        "version": found.version,
        "modified_at": times.to_text(found.modified_at),
        "modified_by": found.modified_by,
        "written": found.document,
        "policy": values,
    }
    show(app, document, Table(_FIELDS, rows), summary=summary)


@policy.command(name="set")
@assignments_argument
@unset_option
@from_option
@yes_option
@dry_run_option
@click.pass_obj
def set_(
    app: App, assignments: tuple[str, ...], unset: tuple[str, ...], file: Path | None, yes: bool, dry_run: bool
) -> Exit:
    """Changes some fields of the policy and leaves the others.

    For example: imdsv2 policy set mode=off, or imdsv2 policy set canary.share=0.2 exclude_accounts=111111111111,222222222222. The
    service's own parser judges the result before anything is written, and the difference is shown. --from replaces the whole document.
    """
    found = read_parameter(app)
    document = _proposed(found, assignments, unset, file)
    changes = differences(found.document, document)
    answer = {"parameter": found.name, "version": found.version, "changes": changes, "written": False}
    if document == found.document and not found.problem:
        show(app, answer, Table(_CHANGES, []), empty="The policy says so already.")
        return Exit.NOTHING
    if dry_run:
        show(app, answer, Table(_CHANGES, changes), empty="What is in force stays the same.")
        return Exit.DONE
    for each in changes:
        note(f"{each['field']}: {cell(each['before'])} -> {cell(each['after'])}")
    confirm(f"Write the policy {found.name}", yes=yes)
    version = write_parameter(app, found, document)
    summary = f"Version {version} is written; it is live within a minute."
    show(app, {**answer, "version": version, "written": True}, Table(_CHANGES, changes), summary=summary)
    return Exit.DONE


@policy.command()
@assignments_argument
@unset_option
@from_option
@click.option("--version", type=int, metavar="NUMBER", help="Compare with an earlier version of the parameter.")
@click.pass_obj
def diff(
    app: App, assignments: tuple[str, ...], unset: tuple[str, ...], file: Path | None, version: int | None
) -> Exit:
    """Compares the policy in force with a document, with changed fields, or with an earlier version.

    It ends with 0 where there are differences, and with 3 where there are none.
    """
    if version is not None and (assignments or unset or file is not None):
        raise usage("an earlier version is compared as it is", todo="leave out --version, or what is named beside it")
    found = read_parameter(app)
    if version is not None:
        changes = differences(earlier_version(app, found, version), found.document)
    else:
        changes = differences(found.document, _proposed(found, assignments, unset, file))
    show(
        app,
        {"parameter": found.name, "version": found.version, "changes": changes},
        Table(_CHANGES, changes),
        empty="There is no difference.",
    )
    return Exit.DONE if changes else Exit.NOTHING


@policy.command()
@assignments_argument
@unset_option
@from_option
@click.pass_obj
def check(app: App, assignments: tuple[str, ...], unset: tuple[str, ...], file: Path | None) -> Exit:
    """Says whether the service would take a policy, and what would become of the verdicts of today's ledger.

    Nothing is written. Each verdict that rests on a field that changes is judged again from the evidence in the ledger; where that does
    not tell, the answer says what would have to be known, and `imdsv2 assess` after the change tells it. The service judges them again
    within an hour of the change, all others at their own time.
    """
    found = read_parameter(app)
    document = _proposed(found, assignments, unset, file)
    changes = differences(found.document, document)
    rows, in_ledger = _judged_again(app, *policies_of(found.document, document))
    for each in changes:
        note(f"{each['field']}: {cell(each['before'])} -> {cell(each['after'])}")
    known = sum(each["instances"] for each in rows if each["becomes"])
    reopened = sum(each["instances"] for each in rows)
    would = (
        f"{of(reopened, in_ledger, 'instance')} in the ledger would be judged again; of {known} the outcome is known."
    )
    summary = f"The service takes this policy. {would}"
    counted: Counter[str] = Counter()
    for each in rows:
        counted[each["reason"]] += each["instances"]
    answer = {
        "valid": True,
        "changes": changes,
        "judged_again": dict(counted),
        "outcomes": rows,
        "in_ledger": in_ledger,
    }
    shown = [{**each, "becomes": each["becomes"] or "not known"} for each in rows]
    show(app, answer, Table(_CONCERNED, shown), summary=summary)
    return Exit.DONE


def _judged_again(app: App, before: Policy, after: Policy) -> tuple[list[dict[str, Any]], int]:
    """How many instances have which verdict now and then, the most first, and how many there are in the ledger."""
    from imdsv2_cli.rejudging import rejudge

    arns, now = waiting(app), times.now()
    counted: Counter[tuple[str, str | None, str]] = Counter()
    for item in read_attributes(app, arns, ("reason", "evidence")).values() if before != after else ():
        outcome = rejudge(item, before, after, now) if item.get("reason") else None
        if outcome is not None:
            counted[str(item["reason"]), outcome.reason, outcome.why] += 1
    rows = [
        {"reason": reason, "becomes": becomes, "instances": count, "why": why}
        for (reason, becomes, why), count in counted.most_common()
    ]
    return rows, len(arns)


def _proposed(found: Parameter, assignments: Sequence[str], unset: Sequence[str], file: Path | None) -> dict[str, Any]:
    """The document that somebody proposes. Raises Failure if the service would refuse it, or if nothing is proposed."""
    if file is None and not assignments and not unset:
        raise usage("nothing was named", todo="say which field gets which value, e.g. mode=off, or --from FILE")
    if file is None and found.problem:
        raise usage("there is no policy to change", found.problem, "write a whole one with --from FILE")
    return assign(read_file(file) if file is not None else found.document, assignments, unset)
