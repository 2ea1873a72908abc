"""Finds the cohort that a person names, by its key or by what follows the Region in it."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from imdsv2_cli.failure import usage

if TYPE_CHECKING:
    from imdsv2_cli.base import App

_KEY = re.compile(r"aws[a-z-]*/[^/]+/[^/]+/.+", re.ASCII | re.DOTALL)
_SHOWN = 5


def cohort_key(app: App, name: str, account: str | None = None, region: str | None = None) -> str:
    """The key of the cohort that a name means in the fleet; ``account`` and ``region`` narrow where it is looked for.

    A name without a version means all versions of what it names. Raises Failure for a name that fits no cohort, or several.
    """
    if _KEY.fullmatch(name):
        if account or region:
            raise usage("the key of a cohort says where it is", todo="leave out --account and --in-region")
        return name
    known = _keys(app, account, region)
    found = {key for each in known for key in each if _own(key) == name}
    if len(found) == 1:
        return found.pop()
    if found:
        some = ", ".join(sorted(found)[:_SHOWN])
        raise usage(
            f"{len(found)} cohorts are called {name[:80]}", some, "name one by its key, or --account and --in-region"
        )
    if not known and not (account or region):
        raise usage("the fleet has no cohort yet", todo="imdsv2 sweep looks for instances")
    likely = get_close_matches(name, {_own(key) for each in known for key in each}, n=1, cutoff=0.6)
    todo = f"did you mean {likely[0]}?" if likely else "imdsv2 list shows the cohorts that there are"
    raise usage(f"no cohort in the fleet is called {name[:80]}", todo=todo)


def _keys(app: App, account: str | None, region: str | None) -> set[tuple[str, str]]:
    """Each cohort of the fleet there: its key, and that of all its versions together."""
    from imdsv2.domain.cohort import lineage_of
    from imdsv2_cli.fleet.joined import Fleet
    from imdsv2_cli.fleet.when import now
    from imdsv2_cli.output import progress

    with progress("Reading the fleet"):
        keys = {
            row["cohort"]
            for row in Fleet(app, now()).rows()
            if row["cohort"] and account in {None, row["account"]} and region in {None, row["region"]}
        }
    return {(key, lineage_of(key)) for key in keys}


def _own(key: str) -> str:
    """What follows the Region in a key."""
    return key.split("/", 3)[-1]
