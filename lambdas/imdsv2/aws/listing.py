"""The instances of a place, packed: a large Region has tens of thousands, which are kept as long as a sweep goes through them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Access(Enum):
    """How the metadata of an instance may be read, the strictest first: only with a token; not at all, and without a token if its endpoint
    were enabled; without a token."""

    TOKEN_REQUIRED = 0
    ENDPOINT_DISABLED = 1
    WITHOUT_TOKEN = 2


class Listing:
    """The ids of all instances of a place that have not ended, in order, and how the metadata of each may be read: 24 bytes each, where
    a dictionary takes 130."""

    def __init__(self, found: Mapping[str, Access]) -> None:
        ids = sorted(found)
        self._text = "".join(ids)
        self._ends = array("I", accumulate(map(len, ids)))
        self._access = bytes(found[each].value for each in ids)

    def access(self, instance_id: str) -> Access | None:
        """How the metadata of an instance may be read; None for one that is not listed."""
        index = bisect_left(self._indices, instance_id, key=self._id)
        return Access(self._access[index]) if index < len(self._ends) and self._id(index) == instance_id else None

    def between(self, after: str | None, last: str | None) -> Iterator[tuple[str, Access]]:
        """Those that come after one id, up to another, which belongs to them; None: from the beginning, to the end."""
        begin = 0 if after is None else bisect_right(self._indices, after, key=self._id)
        end = len(self._ends) if last is None else bisect_right(self._indices, last, key=self._id)
        return ((self._id(each), Access(self._access[each])) for each in range(begin, end))

    @property
    def _indices(self) -> range:
        return range(len(self._ends))

    def _id(self, index: int) -> str:
        return self._text[self._ends[index - 1] if index else 0 : self._ends[index]]
