"""`make bench`: the benchmarks, side by side with their baselines, into build/bench/results.json.

It measures and prints; it judges nothing. Machines are noisy: times are medians, with their spread printed beside them.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from local.cloud.run import LocalCloud
from tests.bench import safety
from tests.bench.cost import bars
from tests.bench.measurements import (
    batch,
    command_line,
    culprits,
    deploying,
    guardrails,
    latency,
    regions,
    sources,
    start,
)
from tests.bench.measurements.quota import drain
from tests.bench.simulation import zero
from tests.e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.measurement import Measurement

RESULTS = Path(__file__).resolve().parents[2] / "build" / "bench" / "results.json"
_BEGAN = time.monotonic()
LIFTED = 1000
"""A share of the quotas that binds nothing: the local AWS has none, and what is measured is the work, not the waiting."""


def main() -> None:
    """Run all benchmarks."""
    measured: list[Measurement] = []
    _say("init.remediate: starting both sides in turn ...")
    measured.append(start.remediate())
    _say("cli.help: a prompt's wait ...")
    measured.append(command_line.help_())
    _say("deploy.cold: the stack into a new account, three times ...")
    measured.append(deploying.cold())
    _say("source.calls: tracing where 1,000 instances come from ...")
    measured.append(sources.measure())
    measured.append(sources.measure_sweep())
    _say("guardrail.requests: asking an IAM evaluator ...")
    measured.append(guardrails.requests())
    _say("culprit.named: the demo, with software that calls IMDSv1 on its fleet ...")
    measured.append(culprits.named())
    _say(
        "quota.drain and cost: simulating an organisation of 100,000 instances, beside it a watch, and days in observe ..."
    )
    with ProcessPoolExecutor(2) as pool:  # Neither measures a time of this machine.
        draining, counting = pool.submit(drain.measure), pool.submit(bars.measure)
        measured += [draining.result(), *counting.result()]
    _say("safety: a quarter of a year of six fleets, on two processors; ten minutes ...")
    measured += safety.measure()
    _say("zero: a quarter of a year of fleets whose instances come and go, with and without cohorts ...")
    measured += zero.measure()
    _say("Starting the local AWS and deploying the stack ...")
    with LocalCloud() as cloud:
        cloud.deploy(quota_share=LIFTED)
        world = World(cloud)
        world.set_policy({"mode": "enforce"})
        _say("batch300: launching 300 instances with 40 days of history ...")
        measured += batch.of_300(world)
        _say("event.latency: one event at a time, batching window off ...")
        measured.append(latency.event(world))
        _say("cli.status: the file of a sweep of 100,000 instances, and a thousand changes since ...")
        measured.append(command_line.status(cloud))
    _say("Starting it anew for whole Regions ...")
    with LocalCloud() as cloud:
        cloud.deploy(quota_share=LIFTED)
        World(cloud).set_policy({"mode": "enforce"})
        _say("fleet: 300 and 3,000 instances, Cloud Custodian and the service in turn ...")
        measured += regions.beside_custodian(cloud)
        _say("fleet: 10,000 instances ...")
        measured.append(regions.large(cloud))
        _say("fleet.memory: 1,000 instances, then 20,000 ...")
        measured.append(regions.memory(cloud))
    _write(measured)
    _print(measured)


def _write(measured: Iterable[Measurement]) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    results = [{name: value for name, value in asdict(each).items() if name != "spread"} for each in measured]
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    _say(f"written to {RESULTS}")


def _print(measured: Iterable[Measurement]) -> None:
    for each in measured:
        against = (
            f"   {each.baseline_name}: {each.baseline:g}   ratio {each.ratio:.3f}" if each.ratio is not None else ""
        )
        sys.stdout.write(f"{each.name:18} {each.value:g} {each.unit}{against}   {each.spread}\n")


def _say(text: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - _BEGAN), 60)
    sys.stderr.write(f"{minutes:2}:{seconds:02}  {text}\n")


if __name__ == "__main__":
    main()
