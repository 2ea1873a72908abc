"""All that is simulated, on two processors, and the benchmarks' rows that follow from it."""

from __future__ import annotations

import statistics
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.bench.measurement import Measurement, against
from tests.bench.simulation.fates import AT_ONCE, CLEAN, CLEAN_DAYS, SERVICE, simulate
from tests.bench.simulation.machine import HIDDEN, Software
from tests.bench.simulation.variants import (
    BENCH_FLEET,
    BENCH_HERD,
    FLEET,
    HERD,
    HERD_SEEDS,
    SEEDS,
    VARIANT_SEEDS,
    VARIANTS,
    Variant,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROCESSES = 2


def measure(seeds: Sequence[int] = SEEDS, fleet: Variant = BENCH_FLEET) -> list[Measurement]:
    """The rows of the benchmarks."""
    old = [(seed, fleet) for seed in seeds]
    done = _simulate_all([*old, *((seed, BENCH_HERD) for seed in HERD_SEEDS)])
    return [*rows(done[: len(old)]), *herd_rows(done[len(old) :])]


def rows(runs: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    """Medians over the seeds. Only hidden breakers count as broken: who calls in the open is no surprise to anybody who looks."""
    broken, baseline = ([hidden(run[way], "hours") for run in runs] for way in (SERVICE, CLEAN))
    useful = [run[SERVICE]["enforced"].get(Software.SAFE, 0) for run in runs]
    safe = [run["fleet"][Software.SAFE] for run in runs]
    ratios = [one / other for one, other in zip(broken, baseline, strict=True)]
    at_once = statistics.median(hidden(run[AT_ONCE], "hours") for run in runs)
    reached = [one / other for one, other in zip(useful, safe, strict=True)]
    return [
        against(
            "safety.broken",
            statistics.median(broken),
            "instance-hours",
            statistics.median(baseline),
            f"enforcing after a clean {CLEAN_DAYS}-day window, no watch",
            f"(ratio {min(ratios):.3f} .. {max(ratios):.3f} in {len(runs)} fleets; at once: {at_once:.0f} instance-hours)",
        ),
        against(
            "safety.useful",
            statistics.median(useful),
            "truly safe instances enforced",
            statistics.median(safe),
            "all truly safe instances",
            f"(ratio {min(reached):.3f} .. {max(reached):.3f})",
        ),
    ]


def herd_rows(runs: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    """The same for the fleet whose instances come and go, and what probes opened, on either."""
    broken, baseline = ([hidden(run[way], "hours") for run in runs] for way in (SERVICE, CLEAN))
    ratios = [one / other for one, other in zip(broken, baseline, strict=True)]
    return [
        against(
            "safety.herd.broken",
            statistics.median(broken),
            "instance-hours",
            statistics.median(baseline),
            f"enforcing after a clean {CLEAN_DAYS}-day window, owners put back by hand",
            f"(ratio {min(ratios):.3f} .. {max(ratios):.3f} in {len(runs)} fleets)",
        ),
        Measurement(
            name="safety.opened_by_probe",
            value=sum(run[SERVICE]["opened_for_nothing"] for run in runs),
            unit="instances",
            spread=f"(in {len(runs)} fleets)",
        ),
    ]


def hidden(way: Mapping[str, Any], what: str) -> float:
    """A figure of one way of enforcing, for the hidden breakers together."""
    figures: Mapping[str, float] = way[what]
    return sum(figures.get(kind, 0) for kind in HIDDEN)


def results() -> dict[str, Any]:
    """All that the page tells of."""
    runs = [(seed, FLEET) for seed in SEEDS]
    variants = [(seed, variant) for variant in VARIANTS for seed in VARIANT_SEEDS]
    herds = [(seed, HERD) for seed in HERD_SEEDS]
    done = iter(_simulate_all([*runs, *herds, *variants]))
    return {
        "runs": [next(done) for _ in SEEDS],
        "herds": [next(done) for _ in HERD_SEEDS],
        "variants": {variant.name: [next(done) for _ in VARIANT_SEEDS] for variant in VARIANTS},
    }


def _simulate_all(jobs: Sequence[tuple[int, Variant]]) -> list[dict[str, Any]]:
    with ProcessPoolExecutor(PROCESSES) as pool:
        return list(pool.map(simulate, *zip(*jobs, strict=True)))
