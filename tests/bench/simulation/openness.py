"""How near zero it comes: for how long safe instances still allow IMDSv1, and when nearly all of them require tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.simulation.assumptions import BEGIN, DAY, DAYS, END, HOUR
from tests.bench.simulation.machine import Software

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.simulation.fates import Fate

FROM_DAY = 30
"""What is left open is counted from the next day on."""
NEARLY_ALL = 0.95
_LOOKED_EVERY = 6 * HOUR
_RUNS_UNSEEN = "reboots"


def openness(fates: Iterable[Fate]) -> dict[str, Any]:
    """Of the safe instances: hours from day 31 on, and those of them that allowed IMDSv1; by day, the share of the running ones that
    required tokens; and on which day that was nearly all, of all and of those whose boot software EC2 shows (None: on none)."""
    safe = [each for each in fates if each.machine.software is Software.SAFE and each.machine.ended > BEGIN]
    begin = BEGIN + FROM_DAY * DAY
    hours = sum(_overlap(each, begin, END, closed=False) for each in safe)
    closed = sum(_overlap(each, begin, END, closed=True) for each in safe)
    seen = [each for each in safe if each.machine.kind != _RUNS_UNSEEN]
    return {
        "hours": round(hours),
        "open_hours": round(hours - closed),
        "days": _nearly_all(safe),
        "days_of_startable": _nearly_all(seen),
        "by_day": {str(day): round(_share(safe, BEGIN + day * DAY), 4) for day in (1, 3, 7, 14, 21, 30, 45, 60, DAYS)},
    }


def _overlap(fate: Fate, begin: float, end: float, *, closed: bool) -> float:
    """Hours of its life in a range; only those in which tokens were required, if ``closed``."""
    first, last = max(begin, fate.machine.first_launched), min(end, fate.machine.ended)
    if closed:
        if fate.required_at is None:
            return 0.0
        first, last = max(first, fate.required_at), min(last, fate.restored_at or last)
    return max(0.0, last - first) / HOUR


def _nearly_all(fates: Sequence[Fate]) -> float | None:
    for when in range(BEGIN, END, _LOOKED_EVERY):
        if _share(fates, when) >= NEARLY_ALL:
            return (when - BEGIN) / DAY
    return None


def _share(fates: Sequence[Fate], when: float) -> float:
    """Of the instances that run then, those that require tokens."""
    running = [each for each in fates if when < each.machine.ended and each.machine.is_running(min(when, END - 1))]
    required = [
        each
        for each in running
        if each.required_at is not None and each.required_at <= when and not (each.restored_at or END + 1) <= when
    ]
    return len(required) / len(running) if running else 0.0
