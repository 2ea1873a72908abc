"""Batches: AWS's calls take so many items at a time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Item = TypeVar("_Item")


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of ``size`` items, the last one perhaps shorter; none of no items.

    An iterator may give up its items in the meantime: each batch is taken only when it is asked for. ``itertools.batched`` came with
    Python 3.12, and the command line, which shares this package, runs on 3.11.
    """
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
