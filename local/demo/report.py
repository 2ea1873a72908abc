"""The demo's output: plain text, coloured on a terminal."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.demo.callers import Caller

COLOURS: Final = {"enforce": "32", "hold": "33", "skip": "36", "wrong": "31", "title": "1", "faint": "2"}
HEADINGS: Final = ("instance", "where", "what it did with IMDSv1", "told by", "decision", "reason", "HttpTokens")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table: an instance with its actual and expected result."""

    name: str
    arn: str
    story: str
    via: str
    decision: str | None
    reason: str | None
    status: str | None
    explanation: str
    before: str
    after: str
    expected_decision: str
    expected_reason: str
    expected_after: str

    @property
    def is_expected(self) -> bool:
        """Whether verdict and effect are the expected ones."""
        return (self.decision, self.reason, self.after) == (
            self.expected_decision,
            self.expected_reason,
            self.expected_after,
        )

    def as_json(self) -> dict[str, Any]:
        """The row for the result file."""
        return {**asdict(self), "expected": self.is_expected}

    def cells(self) -> tuple[str, ...]:
        """The row's cells as shown in the table."""
        _, _, _, region, account, _ = self.arn.split(":", 5)
        tokens = self.before if self.before == self.after else f"{self.before} -> {self.after}"
        wrong = (
            ""
            if self.is_expected
            else f"  ! expected {self.expected_decision} {self.expected_reason}, {self.expected_after}"
        )
        return (
            self.name,
            f"{account} {region}",
            self.story,
            self.via,
            str(self.decision),
            str(self.reason),
            tokens + wrong,
        )


class Report:
    """Writes progress and results to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._coloured = stream.isatty()

    def step(self, text: str) -> None:
        """Write a progress message with the elapsed time."""
        self._write(self._paint("faint", f"{time.monotonic() - self._began:5.1f} s  {text}"))

    def table(self, title: str, lines: Sequence[Line]) -> None:
        """Write a table with a row for each instance."""
        rows = [HEADINGS, *(line.cells() for line in lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        self._write("\n" + self._paint("title", title))
        self._write(self._paint("faint", _aligned(HEADINGS, widths)))
        for line in lines:
            kind = str(line.decision) if line.is_expected else "wrong"
            self._write(self._paint(kind, _aligned(line.cells(), widths)))

    def callers(self, title: str, planted: Sequence[Caller]) -> None:
        """Write a table of the software that was planted on instances, and whether it was named."""
        headings = ("instance", "its software", "Systems Manager", "what became of it")
        rows = [(each.instance, each.software, "yes" if each.managed else "no", _became(each)) for each in planted]
        widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
        self._write("\n" + self._paint("title", title))
        self._write(self._paint("faint", _aligned(headings, widths)))
        for each, row in zip(planted, rows, strict=True):
            self._write(self._paint("enforce" if each.is_expected else "wrong", _aligned(row, widths)))

    def summary(self, first: Sequence[Line], second: Sequence[Line], seconds: float) -> None:
        """Write the number of instances by decision, how many are as expected, and the total time."""
        for title, lines in (("events", first), ("dry run", second)):
            decisions = Counter(str(line.decision) for line in lines)
            counts = ", ".join(f"{count} {decision}" for decision, count in sorted(decisions.items()))
            right = sum(line.is_expected for line in lines)
            self._write(
                f"\n{title}: {len(lines)} instances: {counts}; {right} of {len(lines)} verdicts as expected", end=""
            )
        self._write(f"\n{seconds:.0f} s in all")

    def _write(self, text: str, end: str = "\n") -> None:
        self._stream.write(text + end)
        self._stream.flush()

    def _paint(self, kind: str, text: str) -> str:
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if self._coloured and kind in COLOURS else text


def _became(caller: Caller) -> str:
    if not caller.is_expected:
        return f"{caller.state}  ! expected to be {'named' if caller.managed else 'refused'}"
    return "named by its command line" if caller.managed else "said so, with the commands to run by hand"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
