"""Which columns of a table a narrow terminal has room for: an id that is broken over three lines cannot be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsv2_cli.output import Column

FOLDED = 24
"""A longer text may be folded to so many characters; what is shorter stays on one line as long as there is room for it."""
_BETWEEN = 3


def fitting(columns: Sequence[Column], cells: Sequence[Mapping[str, str]], width: int) -> tuple[list[Column], bool]:
    """The columns that there is room for, in their order, and whether they fit; those that can be spared most easily go first.

    ``cells``: the texts of each row by name.
    """
    kept, need = list(columns), {each.name: needed(each, cells) for each in columns}
    while sum(need[each.name] + _BETWEEN for each in kept) - _BETWEEN > width:
        spare = max(kept, key=lambda each: each.spare)
        if not spare.spare:
            return kept, False
        kept.remove(spare)
    return kept, True


def left_out(columns: Sequence[Column], kept: Sequence[Column]) -> str:
    """What is said of the columns that are not there; empty if all are."""
    names = [each.heading for each in columns if each not in kept]
    return (
        f"\nThere is no room for: {', '.join(names)}. A wider terminal shows all, as does --output csv.\n"
        if names
        else ""
    )


def needed(column: Column, cells: Sequence[Mapping[str, str]]) -> int:
    """How wide a column has to be for what may not be folded."""
    from rich.cells import cell_len

    longest = max((cell_len(column.heading), *(cell_len(row[column.name]) for row in cells)))
    return min(longest, FOLDED)
