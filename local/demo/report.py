"""What the demo shows: plain text, coloured on a terminal."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS: Final = {"enforce": "32", "hold": "33", "skip": "36", "wrong": "31", "title": "1", "faint": "2"}
HEADINGS: Final = ("instance", "where", "what it did with IMDSv1", "told by", "decision", "reason", "HttpTokens")


@dataclass(frozen=True, kw_only=True)
class Line:
    """An instance in a table: what came of it, and what had to."""

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
        """Whether verdict and effect are what they have to be."""
        return (self.decision, self.reason, self.after) == (
            self.expected_decision,
            self.expected_reason,
            self.expected_after,
        )

    def as_json(self) -> dict[str, Any]:
        """The line for programs."""
        return {**asdict(self), "expected": self.is_expected}

    def cells(self) -> tuple[str, ...]:
        """The line for people."""
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
    """Writes to a stream as the demo goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._coloured = stream.isatty()

    def step(self, text: str) -> None:
        """Say what is going on."""
        self._write(self._paint("faint", f"{time.monotonic() - self._began:5.1f} s  {text}"))

    def table(self, title: str, lines: Sequence[Line]) -> None:
        """Show what came of each instance."""
        rows = [HEADINGS, *(line.cells() for line in lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        self._write("\n" + self._paint("title", title))
        self._write(self._paint("faint", _aligned(HEADINGS, widths)))
        for line in lines:
            kind = str(line.decision) if line.is_expected else "wrong"
            self._write(self._paint(kind, _aligned(line.cells(), widths)))

    def summary(self, first: Sequence[Line], second: Sequence[Line], seconds: float) -> None:
        """Count it all up."""
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


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
