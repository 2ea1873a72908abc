"""The part of docs/safety.md about how near zero it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.simulation.fates import SERVICE
from tests.bench.simulation.page_herd import KINDS
from tests.bench.simulation.results import hidden
from tests.bench.simulation.table import spread, table
from tests.bench.simulation.zero import BEFORE, rows, shares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REACHED_AIM, DAYS_AIM = 0.5, 21
_NAMES = {
    BEFORE: "each instance judged for itself, sources left as they are",
    "report": "with cohorts; owners apply the remedy of a source that they were told of",
    "fix": "with cohorts; the service fixes sources itself",
}


def figures(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """What the page's template wants to know."""
    reached, days = rows(done)[-2:]
    assert reached.ratio is not None
    return {
        "zero_fleets": str(len(done[BEFORE])),
        "zero_ways": _ways(done),
        "zero_kinds": _kinds(done),
        "zero_ratio": f"{reached.ratio:.2f}",
        "zero_spread": reached.spread,
        "zero_judged": "met" if reached.ratio <= REACHED_AIM else "missed",
        "zero_days": f"{days.value:g}",
        "zero_days_spread": days.spread,
        "zero_days_judged": "met" if days.value <= DAYS_AIM else "missed",
    }


def _ways(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    def days(way: str, which: str) -> str:
        known = [run[SERVICE]["zero"][which] for run in done[way]]
        return ", ".join("never" if each is None else f"{each:.0f}" for each in known)

    return table(
        (
            "way",
            "share of safe instance-hours that allow IMDSv1, days 31 to 90, by fleet",
            "day on which 95% require tokens, by fleet",
            "the same, without machines that are only rebooted",
            "hidden breakers, instance-hours broken",
        ),
        [
            (
                _NAMES[way],
                ", ".join(f"{each:.1%}" for each in shares(runs)),
                days(way, "days"),
                days(way, "days_of_startable"),
                spread([hidden(run[SERVICE], "hours") for run in runs]),
            )
            for way, runs in done.items()
        ],
    )


def _kinds(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    def share(way: str, kind: str) -> str:
        known = [run[SERVICE]["by_kind"].get(kind) for run in done[way]]
        hours = sum(each["hours"] for each in known if each)
        return f"{sum(each['open_hours'] for each in known if each) / hours:.1%}" if hours else "none in these fleets"

    def enforced(way: str, kind: str) -> float:
        known = [run[SERVICE]["by_kind"].get(kind) for run in done[way]]
        of_all: float = sum(each["enforced"] for each in known if each)
        there: float = sum(each["safe"] for each in known if each)
        return of_all / max(1.0, there)

    return table(
        ("safe instances", *(f"{way}: enforced, hours that allow IMDSv1" for way in done)),
        [(text, *(f"{enforced(way, kind):.1%}, {share(way, kind)}" for way in done)) for kind, text in KINDS.items()],
    )
