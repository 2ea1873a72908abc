"""One row of the benchmarks' results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A figure beside its baseline; ``ratio`` is value over baseline. ``spread`` is for people."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str | None = None
    ratio: float | None = None
    spread: str = ""


def against(name: str, value: float, unit: str, baseline: float, baseline_name: str, spread: str = "") -> Measurement:
    """A measurement with its ratio."""
    return Measurement(
        name=name,
        value=value,
        unit=unit,
        baseline=baseline,
        baseline_name=baseline_name,
        ratio=value / baseline,
        spread=spread,
    )


def spread_of(times: list[float]) -> str:
    """The fastest and the slowest of several runs."""
    return f"({min(times):.3f} .. {max(times):.3f} s in {len(times)} runs)"
