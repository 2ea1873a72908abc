"""Rows of the fleet as JSON has them: the file, which is CSV, knows texts only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE = frozenset({"hop_limit", "calls", "call_hours", "observed_hours", "boot_calls"})
_SHARES = frozenset({"coverage"})


def as_values(row: Mapping[str, str]) -> dict[str, Any]:
    """The columns of a row with numbers as numbers, and None for what is empty: not known, or not there."""
    return {name: _value(name, text) for name, text in row.items()}


def _value(name: str, text: str) -> Any:
    if not text:
        return None
    if name in _WHOLE:
        return int(text)
    return float(text) if name in _SHARES else text
