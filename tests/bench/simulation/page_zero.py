"""The part of docs/safety.md about how near zero it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.simulation.fates import SERVICE
from tests.bench.simulation.page_herd import KINDS
from tests.bench.simulation.results import hidden
from tests.bench.simulation.table import spread, table
from tests.bench.simulation.zero import BEFORE, rows, shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REACHED_AIM, DAYS_AIM = {"report": 0.5, "fix": 0.1}, 21
_NAMES = {
    BEFORE: "each instance judged for itself, sources left as they are",
    "report": "with cohorts; owners apply the remedy of a source that they were told of",
    "fix": "with cohorts; the service fixes sources itself",
}


def figures(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """What the page's template wants to know."""
    return {
        "zero_fleets": str(len(done[BEFORE])),
        "zero_ways": _ways(done),
        "zero_kinds": _kinds(done),
        "zero_bars": "\n".join(_bars(done)),
    }


def _bars(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Each figure beside its target."""
    measured = iter(rows(done))
    for way in (each for each in done if each != BEFORE):
        reached, days = next(measured), next(measured)
        assert reached.ratio is not None
        aim = REACHED_AIM[way]
        yield (
            f'- `source: "{way}"`: **hours that allow IMDSv1, compared with the baseline: {reached.ratio:.2f}** {reached.spread} '
            f"(the target is {aim} at most: {'met' if reached.ratio <= aim else 'missed'}); **days until 95% require tokens: "
            f"{days.value:g}** {days.spread} (the target is {DAYS_AIM} at most: {'met' if days.value <= DAYS_AIM else 'missed'})"
        )


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
