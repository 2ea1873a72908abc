"""Tables in Markdown."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A head, and rows of as many cells."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(figures: Sequence[float]) -> str:
    """The median, and the least and the most; of a single figure, only this."""
    median = f"{statistics.median(figures):,.0f}"
    return median if len(figures) == 1 else f"{median} ({min(figures):,.0f} .. {max(figures):,.0f})"
