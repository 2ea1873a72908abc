"""What a command applies to: the named instances, a cohort, or an account with or without a Region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.failure import usage
from imdsv2_cli.fleet.cohorts import cohort_key
from imdsv2_cli.naming import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2_cli.base import App

cohort_option = click.option(
    "--cohort",
    metavar="NAME",
    help="All instances of this cohort: its key, or what follows the Region in it, e.g. group:web.",
)


def scope_of(
    app: App,
    instances: Sequence[str],
    *,
    cohort: str | None = None,
    account: str | None = None,
    region: str | None = None,
    may_be_account: bool = True,
    more: Sequence[str] = (),
) -> dict[str, Any]:
    """The scope as the service takes it. Beside instances, account and Region say where they are. ``more``: further options that would
    have named something. Raises Failure."""
    if instances and cohort:
        raise usage("both instances and a cohort were named", todo="name the instances, or --cohort")
    if instances:
        return {"targets": resolve(app, instances, account, region)}
    if cohort:
        return {"cohort": cohort_key(app, cohort, account, region)}
    if region and not account:
        raise usage("--in-region needs --account", todo="name the account beside it")
    if account and may_be_account:
        return {"account": account, **({"region": region} if region else {})}
    choices = ["instances", "--cohort", *(["--account"] if may_be_account else []), *more]
    raise usage("nothing was named that this applies to", todo=f"name {', '.join(choices[:-1])} or {choices[-1]}")
