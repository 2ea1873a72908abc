"""Which fleets are simulated under which policies: the default one, and one change at a time to see what depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from imdsv2.domain.policy import Mode, Policy
from tests.bench.simulation.machine import HIDDEN, Mix
from tests.bench.simulation.owners import Acts

SEEDS = (1, 2, 3)
PROOF_SEEDS = tuple(range(101, 109))
VARIANT_SEEDS = (1,)
VARIANT_INSTANCES = 2_000
DEFAULTS = Policy(mode=Mode.ENFORCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A change to the policy or to the fleet, to see what depends on it. ``source``: what becomes of sources (`origins`); not
    ``cohorts``: each instance is judged for itself alone; ``owners``: on what they act."""

    name: str
    policy: Policy = DEFAULTS
    mix: Mix = field(default_factory=lambda: Mix(instances=VARIANT_INSTANCES))
    guarded: bool = True
    recalls: bool = True
    herd: bool = False
    cohorts: bool = True
    source: str | None = None
    owners: Acts = Acts.NOTHING


FLEET = Variant(name="", mix=Mix())
"""The fleet whose instances stay, of which the page tells."""
HERD_SEEDS = (1, 2, 3)
HERD_PLACES = 3_000
HERD = Variant(name="as most are", mix=Mix(instances=HERD_PLACES), herd=True)
"""The fleet whose instances come and go."""
BENCH_FLEET = replace(FLEET, mix=Mix(instances=2_000))
BENCH_HERD = replace(HERD, mix=Mix(instances=300))
"""What the benchmarks have time for: smaller fleets than the page tells of."""


def _policy(**changes: Any) -> Policy:
    return Policy(mode=Mode.ENFORCE, **changes)


def _mix(*, share: float = 0.005, alone: float = 0.5) -> Mix:
    return Mix(hidden=dict.fromkeys(HIDDEN, share), alone=alone, instances=VARIANT_INSTANCES)


VARIANTS = (
    Variant(name="default policy and fleet"),
    Variant(name="no guard and no canaries: evidence alone", policy=_policy(canary=None), guarded=False),
    Variant(name="no recall after the watch", recalls=False),
    Variant(name="no canaries", policy=_policy(canary=None)),
    Variant(name="`watch_hours` 168, the maximum", policy=_policy(watch_hours=168)),
    Variant(name="`lookback_days` 14", policy=_policy(lookback_days=14)),
    Variant(name="`lookback_days` 60", policy=_policy(lookback_days=60)),
    Variant(name="every breaker alone in its cohort", mix=_mix(alone=1.0)),
    Variant(name="breakers in whole cohorts only", mix=_mix(alone=0.0)),
    Variant(name="10% of the fleet are hidden breakers", mix=_mix(share=0.025)),
)
