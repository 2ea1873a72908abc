"""The plan of a self-test, told before anything is launched: what it does, how long it takes, what it costs at most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from imdsv2.selftest.agenda import INSTANCE_TYPE, INSTANCES, Agenda
from imdsv2.selftest.beliefs import BELIEFS
from imdsv2.selftest.metrics import METRICS

if TYPE_CHECKING:
    from imdsv2.selftest.order import Order

USD: dict[str, float] = {
    "hour of a t4g.nano, its 8 GiB of gp3 and a public address": 0.0042 + 8 * 0.08 / 730 + 0.005,
    "metric requested by GetMetricData": 0.01 / 1000,
    "request to ListMetrics": 0.01 / 1000,
    "transition of a state": 0.025 / 1000,
    "second of a function with 512 MB, arm64": 0.5 * 0.0000133334,
}
"""List prices, us-east-1, without the free tier. Other Regions cost up to twice as much."""

DEAREST_REGION = 2.0
STATES_A_LOOK = 4
SECONDS_A_LOOK = 10


def plan(order: Order, agenda: Agenda) -> dict[str, Any]:
    """The plan as a JSON document. Makes no call."""
    return {
        "plan": f"{len(INSTANCES)} instances ({INSTANCE_TYPE}) in account {order.account}, {order.region}; they are ended whatever happens.",
        "instances": dict(INSTANCES),
        "deeds": [f"minute {deed.minute}: {deed.name}" for deed in agenda.deeds],
        "minutes": agenda.ends_at_minute,
        "usd_at_most": cost(agenda),
        "beliefs": len(BELIEFS),
        "sets_observe_if_contradicted": order.set_observe_if_contradicted,
        "next": 'Nothing was launched. To begin, start it again with "confirm": true beside the same input.',
    }


def cost(agenda: Agenda) -> float:
    """USD at most, in whole cents: the instances until they would end themselves, in the dearest Region."""
    hour, metric, listing, transition, second = USD.values()
    looks = agenda.ends_at_minute
    total = (
        len(INSTANCES) * hour * agenda.life_minutes / 60
        + looks * len(INSTANCES) * len(METRICS) * metric
        + looks * listing
        + looks * STATES_A_LOOK * transition
        + looks * SECONDS_A_LOOK * second
    )
    return math.ceil(total * DEAREST_REGION * 100) / 100
