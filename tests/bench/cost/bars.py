"""`cost.watch` and `cost.observe`: counted anew, priced with what was metered before."""

from __future__ import annotations

import json

from tests.bench.cost.counted import observe, per, watch
from tests.bench.cost.page import LARGEST, METERED
from tests.bench.cost.prices import usd
from tests.bench.cost.usage import observing, watching
from tests.bench.measurement import Measurement

WATCHED = 1_000


def measure() -> list[Measurement]:
    """Count a watch and some days in `observe`, and price them. Function time and sizes are those of docs/cost.md."""
    metered = json.loads(METERED.read_text())
    metered["counted"] = {"watch": per(watch), "observe": per(observe)}
    read, day = (metered["counted"][what]["instance"]["metrics"] for what in ("watch", "observe"))
    return [
        Measurement(
            name="cost.watch",
            value=round(usd(watching(metered, WATCHED)), 4),
            unit=f"USD for {WATCHED:,} enforced instances",
            spread=f"({read:g} metrics an instance)",
        ),
        Measurement(
            name="cost.observe",
            value=round(usd(observing(metered, LARGEST)), 2),
            unit=f"USD a month for {LARGEST:,} instances",
            spread=f"({day:g} metrics an instance and day)",
        ),
    ]
