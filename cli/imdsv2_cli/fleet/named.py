"""Finds what a person names in the fleet: an instance by id, ARN or Name tag, or a cohort by its key or the end of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from imdsv2_cli.failure import Exit, Failure, usage
from imdsv2_cli.fleet.joined import arn_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2_cli.fleet.file import Row

_SIMILAR = 20_000
"""Among so many names a similar one is looked for; comparing more takes seconds."""
_SHOWN = 5


class NotThere(Failure):
    """Nothing in the fleet bears the name."""

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what, why, todo, code=Exit.USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was named: one instance, or the members of one cohort."""

    instance: Row | None = None
    cohort: str = ""
    members: list[Row] = field(default_factory=list)


def find(name: str, rows: Iterable[Row]) -> Found:
    """What ``name`` means. Raises NotThere if it fits nothing, another Failure if it fits more than one thing."""
    instances: list[Row] = []
    cohorts: dict[str, list[Row]] = {}
    names: set[str] = set()
    for row in rows:
        if name in {row["instance_id"], row["name"]} or name == arn_of(row):
            instances.append(row)
        if row["cohort"] and _names_cohort(name, row["cohort"]):
            cohorts.setdefault(row["cohort"], []).append(row)
        if len(names) < _SIMILAR:
            names |= {row["name"], row["instance_id"], row["cohort"].split("/", 3)[-1]}
    by_id = [each for each in instances if each["name"] != name] or instances
    if len(by_id) == 1:
        return Found(instance=by_id[0])
    if by_id:
        shown = ", ".join(map(arn_of, by_id[:_SHOWN]))
        raise usage(f"{len(by_id)} instances are called {name[:60]}", todo=f"name one of them by its ARN: {shown}")
    if len(cohorts) == 1:
        [(key, members)] = cohorts.items()
        return Found(cohort=key, members=members)
    if cohorts:
        some = ", ".join(sorted(cohorts)[:_SHOWN])
        raise usage(
            f"{len(cohorts)} cohorts end with {name[:60]}", some, "name one by its key, or --account and --in-region"
        )
    if not names:
        raise empty_fleet()
    likely = get_close_matches(name, names - {""}, n=1, cutoff=0.6)
    todo = f"did you mean {likely[0]}?" if likely else "imdsv2 list shows what there is"
    raise NotThere(f"nothing in the fleet is called {name[:60]}", todo=todo)


def empty_fleet() -> NotThere:
    """The failure of a name where there is nothing yet that could bear one."""
    return NotThere(
        "the fleet is empty", "no sweep and no finding has told of an instance yet", "imdsv2 sweep looks for them"
    )


def _names_cohort(name: str, key: str) -> bool:
    own = key.split("/", 3)[-1]
    return name in {key, own, own.partition("@")[0]}
