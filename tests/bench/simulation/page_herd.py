"""The part of docs/safety.md about the fleet whose instances come and go."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from tests.bench.simulation import herd as f
from tests.bench.simulation.fates import AT_ONCE, CLEAN, CLEAN_DAYS, SERVICE
from tests.bench.simulation.results import hidden
from tests.bench.simulation.table import spread, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS = {
    "group": "members of groups",
    "office": "office hours",
    "batch": "batch",
    "stopped": "stopped at first",
    "reboots": f"long-lived, rebooted monthly, not started for {f.REBOOTED_SINCE_DAYS[0]} days or more",
    "long": "long-lived, started now and then",
    "unlike": "no two alike",
}


def ways(runs: Sequence[Mapping[str, Any]]) -> str:
    """What each way of enforcing broke."""
    names = {
        SERVICE: "this service, default policy",
        CLEAN: f"after a clean {CLEAN_DAYS}-day window, without a watch",
        AT_ONCE: "all at once",
    }
    return table(
        ("enforcing", "hidden breakers broken", "instance-hours", "compared with the clean window"),
        [
            (
                name,
                spread([hidden(run[way], "broke") for run in runs]),
                spread([hidden(run[way], "hours") for run in runs]),
                f"{statistics.median(hidden(run[way], 'hours') / hidden(run[CLEAN], 'hours') for run in runs):.3f}",
            )
            for way, name in names.items()
        ],
    )


def by_kind(runs: Sequence[Mapping[str, Any]]) -> str:
    """How many safe instances of each kind were enforced, and for what share of their hours they still allowed IMDSv1."""

    def total(kind: str, what: str) -> float:
        return float(sum(run[SERVICE]["by_kind"].get(kind, {}).get(what, 0) for run in runs))

    return table(
        ("safe instances", "in all", "enforced", "share", "their hours that still allowed IMDSv1"),
        [
            (
                text,
                f"{total(kind, 'safe'):,.0f}",
                f"{total(kind, 'enforced'):,.0f}",
                f"{total(kind, 'enforced') / max(1, total(kind, 'safe')):.1%}",
                f"{total(kind, 'open_hours') / max(1, total(kind, 'hours')):.1%}",
            )
            for kind, text in KINDS.items()
        ],
    )


def opened(runs: Sequence[Mapping[str, Any]]) -> str:
    """How many instances were opened although nothing of theirs had been refused."""
    return f"{sum(run[SERVICE]['opened_for_nothing'] for run in runs):,}"


def _members() -> str:
    life = f"live {f.MEDIAN_LIFE_DAYS} days in the median, a tenth more than {f.LONG_LIFE[1]}"
    return f"{life}; a new one follows in minutes, from a template that changes every {f.TEMPLATE_EVERY_DAYS} days"


def assumptions() -> str:
    """What the fleet is made of."""
    shares = ", ".join(f"{KINDS[kind]} {share:.0%}" for kind, share in f.KINDS.items())
    return table(
        ("what", "how"),
        [
            ("places", shares),
            (
                "members of groups",
                _members(),
            ),
            ("hidden breakers", "2%; in groups, all that is launched from one template"),
            (
                "reboots",
                "boot software runs, and EC2 shows no start; what broke at boot stays broken until the next boot after it was rolled back",
            ),
            (
                "stray calls",
                f"on {f.STRAY_SHARE:.0%} of the safe instances, every {f.STRAY_EVERY_DAYS} days on average; nobody misses the answer",
            ),
            (
                "probes",
                f"on {f.PROBED_SHARE:.0%} of the instances, one in each {f.PROBED_EVERY_DAYS} days, at any time",
            ),
            ("gaps in all metrics", f"on {f.DARK_SHARE:.0%} of the instances, {f.DARK_HOURS:.0%} of the hours"),
            (
                "owners",
                f"put back by hand what broke, after {f.PATIENCE_HOURS} working hours in the median, if nobody has done so before",
            ),
        ],
    )
