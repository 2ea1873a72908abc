"""docs/safety.md, written from what was simulated."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imdsv2.domain.evidence.strays import TIMES_THE_HOURS
from tests.bench.simulation import page_herd, page_zero
from tests.bench.simulation.assumptions import DAYS, MINUTE
from tests.bench.simulation.cloud import ARRIVES_AFTER, PERIOD
from tests.bench.simulation.fates import AT_ONCE, CLEAN, CLEAN_DAYS, FAILED_WITHIN, NOTICED_AFTER, REACHED_BY, SERVICE
from tests.bench.simulation.life import BREAKER_CLOSED_AT
from tests.bench.simulation.machine import HIDDEN, Software
from tests.bench.simulation.origins import APPLIED_AFTER_DAYS
from tests.bench.simulation.page_assumptions import assumptions_table
from tests.bench.simulation.results import hidden, rows
from tests.bench.simulation.table import spread, table
from tests.bench.simulation.variants import DEFAULTS, HERD_PLACES, SEEDS, VARIANT_INSTANCES, VARIANT_SEEDS
from tests.bench.simulation.zero import ZERO_PLACES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TEMPLATE = Path(__file__).with_name("page.template")
BROKEN_AIM, USEFUL_AIM = 0.1, 0.9

KINDS = {
    Software.MONTHLY: "only monthly",
    Software.BOOT: "only at boot",
    Software.LOAD: "only under load",
    Software.OFFICE: "only in office hours",
    Software.OPEN: "every day (open callers)",
}
WHY = {
    "young": "no call yet, instance younger than the window",
    "never": "no call yet, older instance",
    "older": "calls, all before the window",
    "inside": "calls in the window, in hours missing from the metric",
}
"""What `_seen_before` answers, in words."""


def page(simulated: Mapping[str, Any], zero: Mapping[str, Any]) -> str:
    """docs/safety.md. ``zero``: what came of the fleets of `zero`."""
    runs, herds, variants = simulated["runs"], simulated["herds"], simulated["variants"]
    broken, useful = rows(runs)
    assert broken.ratio is not None
    assert useful.ratio is not None
    return TEMPLATE.read_text().format(
        fleets=len(runs),
        instances=f"{sum(runs[0]['fleet'].values()):,}",
        days=DAYS,
        clean_days=CLEAN_DAYS,
        noticed_after=NOTICED_AFTER,
        ways=_ways(runs),
        broken_ratio=f"{broken.ratio:.3f}",
        broken_judged=_judged(broken.ratio <= BROKEN_AIM),
        broken_aim=BROKEN_AIM,
        useful_ratio=f"{useful.ratio:.3f}",
        useful_judged=_judged(useful.ratio >= USEFUL_AIM),
        useful_aim=USEFUL_AIM,
        by_seed=_by_seed(runs),
        kinds=_kinds(runs),
        why=_why_table(runs),
        first_failed=_first_failed_table(runs),
        put_back=_put_back(runs),
        reached=_reached(runs),
        left=_left(runs),
        breakers=f"{statistics.median(run[SERVICE]['breakers_opened'] for run in runs):g}",
        breaker_hour=BREAKER_CLOSED_AT,
        variants=_variants(variants),
        variant_instances=f"{VARIANT_INSTANCES:,}",
        variant_fleets=len(VARIANT_SEEDS),
        assumptions=assumptions_table(),
        herds=len(herds),
        places=f"{HERD_PLACES:,}",
        herd_instances=f"{statistics.median(sum(run['fleet'].values()) for run in herds):,.0f}",
        herd_ways=page_herd.ways(herds),
        herd_kinds=page_herd.by_kind(herds),
        herd_opened=page_herd.opened(herds),
        herd_assumptions=page_herd.assumptions(),
        **page_zero.figures(zero),
        zero_places=f"{ZERO_PLACES:,}",
        outweigh=TIMES_THE_HOURS * DEFAULTS.min_observed_hours,
        applied_after=APPLIED_AFTER_DAYS,
        watch_hours=DEFAULTS.watch_hours,
        lookback=DEFAULTS.lookback_days,
        delay=(PERIOD + ARRIVES_AFTER) // MINUTE,
        observed_hours=DEFAULTS.min_observed_hours,
    )


def _judged(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _ways(runs: Sequence[Mapping[str, Any]]) -> str:
    names = {
        SERVICE: "this service, default policy",
        CLEAN: f"after a clean {CLEAN_DAYS}-day window, without a watch",
        AT_ONCE: "all at once",
    }
    return table(
        (
            "enforcing",
            "hidden breakers broken",
            "instance-hours",
            "if people notice",
            "open callers, instance-hours",
            "safe instances reached",
        ),
        [
            (
                name,
                spread([hidden(run[way], "broke") for run in runs]),
                spread([hidden(run[way], "hours") for run in runs]),
                spread([hidden(run[way], "noticed_hours") for run in runs]),
                spread([run[way]["hours"].get(Software.OPEN, 0) for run in runs]),
                f"{statistics.median(_reached_share(run, way, DAYS) for run in runs):.1%}",
            )
            for way, name in names.items()
        ],
    )


def _by_seed(runs: Sequence[Mapping[str, Any]]) -> str:
    return table(
        (
            "fleet",
            "this service",
            f"clean {CLEAN_DAYS} days",
            "ratio",
            "ratio if people notice",
            "safe instances reached",
        ),
        [
            (
                str(seed),
                f"{hidden(run[SERVICE], 'hours'):,.0f}",
                f"{hidden(run[CLEAN], 'hours'):,.0f}",
                f"{hidden(run[SERVICE], 'hours') / hidden(run[CLEAN], 'hours'):.3f}",
                f"{hidden(run[SERVICE], 'noticed_hours') / hidden(run[CLEAN], 'noticed_hours'):.3f}",
                f"{_reached_share(run, SERVICE, DAYS):.1%}",
            )
            for seed, run in zip(SEEDS, runs, strict=True)
        ],
    )


def _kinds(runs: Sequence[Mapping[str, Any]]) -> str:
    def total(way: str, what: str, kind: str) -> float:
        figures: Iterable[float] = (run[way][what].get(kind, 0) for run in runs)
        return sum(figures)

    return table(
        (
            "calls IMDSv1",
            "instances",
            "changed",
            "broke",
            "rolled back",
            "instance-hours",
            "clean window: broke",
            "instance-hours",
        ),
        [
            (
                KINDS[kind],
                f"{sum(run['fleet'][kind] for run in runs):,}",
                *(f"{total(SERVICE, what, kind):,.0f}" for what in ("enforced", "broke", "put_back", "hours")),
                *(f"{total(CLEAN, what, kind):,.0f}" for what in ("broke", "hours")),
            )
            for kind in (*HIDDEN, Software.OPEN)
        ],
    )


def _why_table(runs: Sequence[Mapping[str, Any]]) -> str:
    return table(
        ("what was observable before the change", *(KINDS[kind] for kind in HIDDEN)),
        [
            (text, *(f"{sum(run[SERVICE]['why'][kind].get(why, 0) for run in runs):,}" for kind in HIDDEN))
            for why, text in WHY.items()
        ],
    )


def _first_failed_table(runs: Sequence[Mapping[str, Any]]) -> str:
    heads = [f"within {day} {'day' if day == 1 else 'days'}" for day in FAILED_WITHIN[:-1]]
    counts = [sum(run[SERVICE]["first_failed"].get(str(day), 0) for run in runs) for day in FAILED_WITHIN]
    return table(
        ("first failed call after the change", *heads, "later"),
        [("instances", *(f"{count:,}" for count in counts))],
    )


def _put_back(runs: Sequence[Mapping[str, Any]]) -> str:
    minutes = sorted(each for run in runs for each in run[SERVICE]["minutes_to_put_back"])
    if not minutes:
        return "No instance was rolled back"
    return (
        f"{len(minutes):,} instances were rolled back, half of them within {statistics.median(minutes):g} minutes of their first failed call "
        f"and the slowest after {minutes[-1]:,}"
    )


def _reached(runs: Sequence[Mapping[str, Any]]) -> str:
    names = {SERVICE: "this service", CLEAN: f"clean {CLEAN_DAYS} days", AT_ONCE: "all at once"}
    return table(
        ("share of safe instances reached, by day", *map(str, REACHED_BY)),
        [
            (name, *(f"{statistics.median(_reached_share(run, way, day) for run in runs):.1%}" for day in REACHED_BY))
            for way, name in names.items()
        ],
    )


def _reached_share(run: Mapping[str, Any], way: str, day: int) -> float:
    reached: float = run[way]["reached"].get(str(day), 0) / run["fleet"][Software.SAFE]
    return reached


def _left(runs: Sequence[Mapping[str, Any]]) -> str:
    reasons = sorted({reason for run in runs for reason in run[SERVICE]["left"]})
    return table(
        ("safe instances not reached, by reason at the end", *(f"`{reason}`" for reason in reasons)),
        [("", *(spread([run[SERVICE]["left"].get(reason, 0) for run in runs]) for reason in reasons))],
    )


def _variants(variants: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    return table(
        ("changed", "this service, instance-hours", f"clean {CLEAN_DAYS} days", "ratio", "safe instances reached"),
        [
            (
                name,
                spread(broken := [hidden(run[SERVICE], "hours") for run in runs]),
                spread(clean := [hidden(run[CLEAN], "hours") for run in runs]),
                f"{statistics.median(broken) / statistics.median(clean):.3f}",
                f"{statistics.median(_reached_share(run, SERVICE, DAYS) for run in runs):.1%}",
            )
            for name, runs in variants.items()
        ],
    )
