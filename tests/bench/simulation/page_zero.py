"""The part of docs/safety.md about how near zero it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.simulation.fates import SERVICE
from tests.bench.simulation.page_herd import KINDS
from tests.bench.simulation.results import hidden
from tests.bench.simulation.table import spread, table
from tests.bench.simulation.zero import (
    ALL,
    BEFORE,
    BEFORE_ALL,
    BEFORE_STARTS,
    INSIDE,
    REBOOTED_BY_API,
    SOURCES,
    STARTS,
    days,
    reached,
    shares,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.measurement import Measurement

REACHED_AIM, DAYS_AIM = {"report": 0.5, "fix": 0.1}, 21
_BEFORE = "each instance judged for itself, sources left as they are"
_WITH = {
    "report": "with cohorts; owners apply the remedy of a source that they were told of",
    "fix": "with cohorts; the service fixes sources itself",
}
_NAMES = {
    BEFORE: _BEFORE,
    **_WITH,
    BEFORE_STARTS: f"{_BEFORE}; owners start machines",
    **{STARTS[source]: f"{_WITH[source]}; owners start machines" for source in SOURCES},
    BEFORE_ALL: f"{_BEFORE}; owners act on all",
    **{ALL[source]: f"{_WITH[source]}; owners act on all" for source in SOURCES},
    **{INSIDE[source]: f"{_WITH[source]}; owners act on all; no reboot through EC2" for source in SOURCES},
}
_KINDS_SHOWN = {
    BEFORE_ALL: "before",
    **{ALL[source]: source for source in SOURCES},
    "fix": "fix, owners act on sources only",
}


def figures(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """What the page's template wants to know."""
    return {
        "zero_fleets": str(len(done[BEFORE])),
        "zero_ways": _ways(done),
        "zero_kinds": _kinds(done),
        "zero_bars": "\n".join(_bars(done)),
        "zero_by_api": f"{REBOOTED_BY_API:.0%}",
    }


def _bars(done: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Each figure beside its target: where owners act on all that they are told, where they only start machines, on sources only."""
    for source in SOURCES:
        of_all, unmoved = reached(done, ALL[source], BEFORE_ALL), reached(done, ALL[source], BEFORE)
        inside = reached(done, INSIDE[source], BEFORE_ALL)
        starts, only = reached(done, STARTS[source], BEFORE_STARTS), reached(done, source, BEFORE)
        yield (
            f'- `source: "{source}"`: **hours that allow IMDSv1, compared with the baseline: {of_all.ratio:.2f}** {of_all.spread} '
            f"({_word(of_all, REACHED_AIM[source])}); **days until 95% require tokens: {_days(done, ALL[source], '**')}"
        )
        yield (
            f"    - Without any reboot through EC2: {inside.ratio:.2f}; days: {_days(done, INSIDE[source])}. Beside a baseline whose owners do "
            f"nothing at all: {unmoved.ratio:.2f} {unmoved.spread}."
        )
        for told, figure, way in (
            ("Owners who only start machines", starts, STARTS[source]),
            ("Owners who act on sources only", only, source),
        ):
            yield (
                f"    - {told}, here and in the baseline: {figure.ratio:.2f} {figure.spread} "
                f"({_word(figure, REACHED_AIM[source])}); days: {_days(done, way)}."
            )


def _word(figure: Measurement, aim: float) -> str:
    assert figure.ratio is not None
    return f"the target is {aim} at most: {'met' if figure.ratio <= aim else 'missed'}"


def _days(done: Mapping[str, Sequence[Mapping[str, Any]]], name: str, mark: str = "") -> str:
    found = days(done[name], name)
    return f"{found.value:g}{mark} {found.spread} (the target is {DAYS_AIM} at most: {'met' if found.value <= DAYS_AIM else 'missed'})"


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
            for way, runs in ((each, done[each]) for each in _NAMES)
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
        ("safe instances", *(f"{name}: enforced, hours that allow IMDSv1" for name in _KINDS_SHOWN.values())),
        [
            (text, *(f"{enforced(way, kind):.1%}, {share(way, kind)}" for way in _KINDS_SHOWN))
            for kind, text in KINDS.items()
        ],
    )
