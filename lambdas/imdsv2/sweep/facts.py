"""What EC2 lists of a place, in a temporary file: a large Region does not fit into memory."""

from __future__ import annotations

import heapq
import json
import tempfile
from operator import itemgetter
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imdsv2.sweep.rows import Row

    _Line = tuple[str, bytes]
    """The id of an instance, and its line in the file."""


class Facts:
    """Takes rows page by page, and gives them back in the order of their ids. Each page is sorted when it is written, and pages are merged
    while they are read, so that there is no need of an index in memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._pages: list[tuple[int, int]] = []
        self._merged: Iterator[_Line] | None = None
        self._next: _Line | None = None

    def add(self, rows: Iterable[Row]) -> None:
        """Keep a page. Nothing may be added once something was read."""
        begin = self._file.tell()
        for row in sorted(rows, key=itemgetter("instance_id")):
            self._file.write(row["instance_id"].encode() + b" " + json.dumps(row).encode() + b"\n")
        self._pages.append((begin, self._file.tell()))

    def of(self, instance_ids: Sequence[str]) -> Iterator[Row]:
        """The rows of sorted ids, those that were listed; of two about the same instance the one listed later. The ids of the next call
        have to come after these."""
        if self._merged is None:
            self._merged = heapq.merge(*(self._lines(*page) for page in self._pages), key=itemgetter(0))
            self._next = next(self._merged, None)
        for instance_id in instance_ids:
            found = None
            while self._next is not None and self._next[0] <= instance_id:
                found = self._next
                self._next = next(self._merged, None)
            if found is not None and found[0] == instance_id:
                row: Row = json.loads(found[1])
                yield row

    def _lines(self, begin: int, end: int) -> Iterator[_Line]:
        while begin < end:
            self._file.seek(begin)
            line = self._file.readline()
            begin += len(line)
            instance_id, _, row = line.partition(b" ")
            yield instance_id.decode(), row

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
