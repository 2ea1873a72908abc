"""From an event on the bus to the instance that requires tokens, on the local AWS, the function warm."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from tests.bench.measurement import Measurement, spread_of
from tests.fixtures import events

if TYPE_CHECKING:
    from local.demo.fleet import Launched
    from tests.e2e.world import World

WARM_UP = 3
RUNS = 11


def event(world: World) -> Measurement:
    """Send one event at a time, and look until EC2 shows the effect."""
    world.switch_batching_window_off()
    times = [_once(world, one) for one in world.launch(number=WARM_UP + RUNS)][WARM_UP:]
    return Measurement(name="event.latency", value=statistics.median(times), unit="s", spread=spread_of(times))


def _once(world: World, one: Launched) -> float:
    sent = time.perf_counter()
    world.send(events.config_change(one.instance_id))
    while world.options(one)["HttpTokens"] != "required":
        time.sleep(0.01)
    took = time.perf_counter() - sent
    world.decided(one)
    return took
