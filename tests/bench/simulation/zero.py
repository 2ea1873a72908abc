"""How near zero it comes on the fleet whose instances come and go, beside a service that judges each instance for itself alone.

Owners act in one of three ways, the same beside the service and beside its baseline: only on what they are told of sources; also on
machines whose start nobody saw, which they start some days after they heard of it; or on all that they are told (`owners`).
"""

from __future__ import annotations

import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.measurement import Measurement, against
from tests.bench.simulation.assumptions import DAYS
from tests.bench.simulation.fates import SERVICE, simulate
from tests.bench.simulation.machine import Mix
from tests.bench.simulation.openness import FROM_DAY
from tests.bench.simulation.origins import FIX, REPORT
from tests.bench.simulation.owners import Acts
from tests.bench.simulation.variants import DEFAULTS, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ZERO_SEEDS = (1, 2, 3, 4)
ZERO_PLACES = 300
REBOOTED_BY_API = 0.2
"""Of the machines that are only rebooted, the share whose monthly reboots are requests to EC2: a guess. Patch tools reboot from inside."""
_PROCESSES = 2

Runs = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What is simulated. ``source``: as in the policy; None: the code before there were cohorts, which looks neither at sources nor
    into CloudTrail. ``owners``: on what they act, of what they are told of single machines. ``by_api``: as in the fleet's mix."""

    source: str | None
    owners: Acts = Acts.NOTHING
    by_api: float = 0.0


BEFORE, BEFORE_STARTS, BEFORE_ALL = "before", "before, owners start machines", "before, owners act on all"
SOURCES = (REPORT, FIX)
"""What the policy's `source` may say."""
STARTS = {source: f"{source}, owners start machines" for source in SOURCES}
ALL = {source: f"{source}, owners act on all" for source in SOURCES}
INSIDE = {source: f"{source}, owners act on all, no reboot through EC2" for source in SOURCES}
WAYS: Mapping[str, Way] = {
    BEFORE: Way(source=None),
    **{source: Way(source=source) for source in SOURCES},
    BEFORE_STARTS: Way(source=None, owners=Acts.STARTS),
    **{STARTS[source]: Way(source=source, owners=Acts.STARTS, by_api=REBOOTED_BY_API) for source in SOURCES},
    BEFORE_ALL: Way(source=None, owners=Acts.ALL),
    **{ALL[source]: Way(source=source, owners=Acts.ALL, by_api=REBOOTED_BY_API) for source in SOURCES},
    **{INSIDE[source]: Way(source=source, owners=Acts.ALL) for source in SOURCES},
}
MEASURED = tuple(name for name in WAYS if name not in INSIDE.values())
"""The rest shows what depends on a guess."""


def variant(name: str, places: int = ZERO_PLACES) -> Variant:
    """The fleet under the default policy."""
    way = WAYS[name]
    return Variant(
        name=name,
        policy=DEFAULTS,
        mix=Mix(instances=places, by_api=way.by_api),
        herd=True,
        cohorts=way.source is not None,
        source=way.source,
        owners=way.owners,
    )


def runs(names: Sequence[str] = tuple(WAYS)) -> Runs:
    """Each fleet in each way."""
    jobs = [(seed, variant(name)) for name in names for seed in ZERO_SEEDS]
    with ProcessPoolExecutor(_PROCESSES) as pool:
        done = iter(list(pool.map(simulate, *zip(*jobs, strict=True))))
    return {name: [next(done) for _ in ZERO_SEEDS] for name in names}


_COMPARED: Sequence[tuple[str, Mapping[str, str], str]] = (
    ("", ALL, BEFORE_ALL),
    (".starts_only", STARTS, BEFORE_STARTS),
    (".sources_only", {source: source for source in SOURCES}, BEFORE),
)
"""The rows' suffix, the ways by source, and what they are compared with."""


def measure() -> list[Measurement]:
    """The rows of the benchmarks."""
    return rows(runs(MEASURED))


def rows(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Measurement]:
    """Medians over the fleets: where owners act on all that they are told, where they only start machines, and on sources only."""
    return [
        row
        for suffix, ways, before in _COMPARED
        for source in SOURCES
        for name in [ways[source]]
        for row in (
            reached(done, name, before, f"zero.reached{_of(source)}{suffix}"),
            days(done[name], name, f"zero.days{_of(source)}{suffix}"),
        )
    ]


def _of(source: str) -> str:
    return "" if source == FIX else f".{source}"


def shares(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    """Of the safe instance-hours of each fleet, those that allow IMDSv1."""
    return [run[SERVICE]["zero"]["open_hours"] / run[SERVICE]["zero"]["hours"] for run in runs]


def reached(
    done: Mapping[str, Sequence[Mapping[str, Any]]], name: str, before: str, row: str = "zero.reached"
) -> Measurement:
    """What is left open in one way, beside another."""
    now, baseline = shares(done[name]), shares(done[before])
    ratios = [one / other for one, other in zip(now, baseline, strict=True)]
    return against(
        row,
        statistics.median(now),
        f"share of safe instance-hours that allow IMDSv1, days {FROM_DAY + 1} to {DAYS}, source: {name}",
        statistics.median(baseline),
        "each instance judged for itself, sources left as they are, the same owners",
        f"(ratio {min(ratios):.3f} .. {max(ratios):.3f} in {len(ratios)} fleets)",
    )


def days(runs: Sequence[Mapping[str, Any]], name: str, row: str = "zero.days") -> Measurement:
    """When nearly all require tokens, in one way."""
    found = [run[SERVICE]["zero"]["days"] for run in runs]
    known = sorted(DAYS if each is None else each for each in found)
    never = sum(each is None for each in found)
    return Measurement(
        name=row,
        value=statistics.median_low(known),
        unit=f"days until 95% of the safe running instances require tokens, source: {name}",
        spread=f"({known[0]:g} .. {known[-1]:g} in {len(found)} fleets; not within {DAYS} days in {never})",
    )
