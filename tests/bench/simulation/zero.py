"""How near zero it comes on the fleet whose instances come and go, beside a service that judges each instance for itself alone."""

from __future__ import annotations

import statistics
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.bench.measurement import Measurement, against
from tests.bench.simulation.assumptions import DAYS
from tests.bench.simulation.fates import SERVICE, simulate
from tests.bench.simulation.machine import Mix
from tests.bench.simulation.openness import FROM_DAY
from tests.bench.simulation.origins import FIX, REPORT
from tests.bench.simulation.variants import DEFAULTS, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ZERO_SEEDS = (1, 2, 3, 4)
ZERO_PLACES = 300
BEFORE = "before"
WAYS = (REPORT, FIX)
"""What the policy's `source` may say."""
_PROCESSES = 2

Runs = dict[str, list[dict[str, Any]]]


def variant(way: str, places: int = ZERO_PLACES) -> Variant:
    """The fleet under the default policy; before cohorts, nobody looked at sources either."""
    mix = Mix(instances=places)
    if way == BEFORE:
        return Variant(name=way, policy=DEFAULTS, mix=mix, herd=True, cohorts=False)
    return Variant(name=way, policy=DEFAULTS, mix=mix, herd=True, source=way)


def runs() -> Runs:
    """Each fleet in each way."""
    jobs = [(seed, variant(way)) for way in (BEFORE, *WAYS) for seed in ZERO_SEEDS]
    with ProcessPoolExecutor(_PROCESSES) as pool:
        done = iter(list(pool.map(simulate, *zip(*jobs, strict=True))))
    return {way: [next(done) for _ in ZERO_SEEDS] for way in (BEFORE, *WAYS)}


def measure() -> list[Measurement]:
    """The rows of the benchmarks."""
    return rows(runs())


def rows(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Measurement]:
    """Medians over the fleets."""
    return [row for way in done if way != BEFORE for row in (_reached(way, done), _days(way, done[way]))]


def shares(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Of the safe instance-hours of each fleet, those that allow IMDSv1."""
    return [run[SERVICE]["zero"]["open_hours"] / run[SERVICE]["zero"]["hours"] for run in runs]


def _reached(way: str, done: Mapping[str, Sequence[Mapping[str, Any]]]) -> Measurement:
    now, before = shares(done[way]), shares(done[BEFORE])
    ratios = [one / other for one, other in zip(now, before, strict=True)]
    return against(
        "zero.reached" if way == WAYS[-1] else f"zero.reached.{way}",
        statistics.median(now),
        f"share of safe instance-hours that allow IMDSv1, days {FROM_DAY + 1} to {DAYS}, source: {way}",
        statistics.median(before),
        "each instance judged for itself, sources left as they are",
        f"(ratio {min(ratios):.3f} .. {max(ratios):.3f} in {len(ratios)} fleets)",
    )


def _days(way: str, runs: Sequence[Mapping[str, Any]]) -> Measurement:
    days = [run[SERVICE]["zero"]["days"] for run in runs]
    known = sorted(DAYS if each is None else each for each in days)
    never = sum(each is None for each in days)
    return Measurement(
        name="zero.days" if way == WAYS[-1] else f"zero.days.{way}",
        value=statistics.median_low(known),
        unit=f"days until 95% of the safe running instances require tokens, source: {way}",
        spread=f"({known[0]:g} .. {known[-1]:g} in {len(days)} fleets; not within {DAYS} days in {never})",
    )
