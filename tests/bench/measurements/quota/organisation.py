"""How fast a whole organisation drains against AWS's quotas: the real pacing, on a clock that is only simulated.

Functions that run at once and know nothing of one another sweep an organisation's instances, while others take the findings
of the same instances from the queue, and every minute one more takes up what waits in the ledger. Each goes the way of the
line: look, evidence, ledger, tag, eight changes at once, read back, ledger. Between them and AWS are botocore's standard
retries. EC2 and CloudWatch have their own token buckets, refilled once a second as EC2 says, and lose one request in a
hundred, half of those after the work was done.
"""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from imdsv2.aws.pacing import LEAST_DATAPOINTS, Pacing
from imdsv2.errors import QuotaExhausted
from imdsv2.sweep.run import INSTANCES_A_BATCH
from tests.bench.measurements.quota.aws import Aws, Unanswered
from tests.bench.measurements.quota.clock import Clock
from tests.bench.measurements.quota.ledger import DUE_AT_ONCE, Ledger
from tests.bench.measurements.quota.placement import place_instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.instance import Place
    from tests.bench.measurements.quota.clock import Steps

SHARE = 0.5
"""The default of the setting `quota_share`."""

_SETTINGS = json.loads((Path(__file__).parents[4] / "cdk.json").read_text())["context"]
SWEEPS_AT_ONCE = _SETTINGS["sweep_concurrency"]
REMEDIATIONS_AT_ONCE = _SETTINGS["remediate_concurrency"]
SWEEP_SECONDS = 900
SWEEP_NEEDS = 300
"""Left of an invocation for it to begin another page; the next invocation goes on."""
A_PAGE = INSTANCES_A_BATCH
REMEDIATE_SECONDS = 300
FINDINGS_A_BATCH = 500
GROUPS_AT_ONCE = 8
REVISIT_EVERY = 60
REVISIT_SECONDS = 300
REVISIT_NEEDS = 120
CHANGES_AT_ONCE = 8
TO_FINISH = 90
LEASE_MARGIN = 60
COLD_START = 1.5
"""The functions and the stack, as far as time and calls go."""

INSTANCES_A_METRIC_CALL = 120
HOURS = 35 * 24
LEDGER_ITEMS_A_CALL = 50
READ_BACK_AFTER = 0.4
SOON = 900
ATTEMPTS = 5
LATENCY = (0.04, 0.2)
A_LEDGER_CALL = 0.03
_BACKOFF = {"throttled": 1.0, "lost": 0.05}
"""Seconds before botocore's first repeat; they double, up to 20, and any part of them is as likely."""
GIVE_UP = 4 * 3600


class Organisation:
    """Accounts and Regions with their instances, and the functions that work on them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self.clock = Clock()
        self.aws = Aws(self.clock, self.chance)
        self.ledger = Ledger()
        self.fleet = place_instances()
        self.place_of = {instance: place for place, instances in self.fleet.items() for instance in instances}
        self._calls = count()

    def drain(self) -> float:
        """Seconds until the ledger says of every instance that it is enforced."""
        everything = [self._sweep(), self._findings(), self._revisits()]
        for seconds in self.clock.side_by_side(everything, len(everything)):
            if len(self.ledger.enforced) == len(self.place_of):
                return self.clock.now
            if self.clock.now > GIVE_UP:
                break
            self.clock.now += seconds
        raise RuntimeError(f"{len(self.place_of) - len(self.ledger.enforced)} instances were lost")

    def _sweep(self) -> Steps:
        places = self.chance.sample(sorted(self.fleet, key=str), len(self.fleet))
        return self.clock.side_by_side(map(self._sweep_place, places), SWEEPS_AT_ONCE)

    def _sweep_place(self, place: Place) -> Steps:
        instances = self.fleet[place]
        ends_at = -math.inf
        for first in range(0, len(instances), A_PAGE):
            if ends_at - self.clock.now < SWEEP_NEEDS:
                yield self.chance.random() * COLD_START
                pacing = self._pacing(SWEEP_SECONDS)
                ends_at = self.clock.now + SWEEP_SECONDS
            yield from self._page(pacing, place, instances[first : first + A_PAGE], SWEEP_SECONDS)

    def _findings(self) -> Steps:
        instances = self.chance.sample(sorted(self.place_of), len(self.place_of))
        batches = (instances[at : at + FINDINGS_A_BATCH] for at in range(0, len(instances), FINDINGS_A_BATCH))
        return self.clock.side_by_side(
            (self._batch(self._pacing(REMEDIATE_SECONDS), batch, REMEDIATE_SECONDS) for batch in batches),
            REMEDIATIONS_AT_ONCE,
        )

    def _revisits(self) -> Steps:
        starts = (self._revisit_at(number * REVISIT_EVERY) for number in count(1))
        return self.clock.side_by_side(starts, REVISIT_SECONDS // REVISIT_EVERY)

    def _revisit_at(self, start: float) -> Steps:
        yield max(0.0, start - self.clock.now)
        pacing = self._pacing(REVISIT_SECONDS)
        ends_at = self.clock.now + REVISIT_SECONDS
        while ends_at - self.clock.now > REVISIT_NEEDS:
            due = self.ledger.take_due(self.clock.now)
            yield from self._batch(pacing, due, REVISIT_SECONDS)
            if len(due) < DUE_AT_ONCE:
                return

    def _pacing(self, seconds: float) -> Pacing:
        pacing = Pacing(share=SHARE, clock=lambda: self.clock.now, chance=self.chance.random)
        pacing.end_in(seconds - TO_FINISH)
        return pacing

    def _batch(self, pacing: Pacing, instances: Sequence[int], time_limit: float) -> Steps:
        groups: dict[Place, list[int]] = defaultdict(list)
        for instance in instances:
            groups[self.place_of[instance]].append(instance)
        pages = (self._page(pacing, place, group, time_limit) for place, group in groups.items())
        return self.clock.side_by_side(pages, GROUPS_AT_ONCE)

    def _page(self, pacing: Pacing, place: Place, instances: Sequence[int], time_limit: float) -> Steps:
        """The line, for instances of one account and Region."""
        try:
            yield from self._call(pacing, place, "DescribeInstances")
            allowing = [each for each in instances if each not in self.aws.changed_by]
            for first in range(0, len(allowing), INSTANCES_A_METRIC_CALL):
                asked = len(allowing[first : first + INSTANCES_A_METRIC_CALL])
                yield from self._call(pacing, place, "GetMetricData", asked * HOURS)
        except (QuotaExhausted, Unanswered):
            self.ledger.hold(self.ledger.free(instances, self.clock.now), self._soon())
            return
        yield A_LEDGER_CALL * math.ceil(len(instances) / LEDGER_ITEMS_A_CALL)
        self.ledger.take_over(set(instances) & self.aws.changed_by.keys(), self.clock.now)
        mine = self.ledger.claim(allowing, self.clock.now, self.clock.now + time_limit + LEASE_MARGIN)
        if mine:
            yield from self._enforce(pacing, place, mine)

    def _enforce(self, pacing: Pacing, place: Place, mine: Sequence[int]) -> Steps:
        """Tag, change, read back, for instances that nobody else may act on meanwhile."""
        try:
            yield from self._call(pacing, place, "CreateTags")
        except (QuotaExhausted, Unanswered):
            self.ledger.hold(mine, self._soon())
            return
        changed: list[int] = []
        held: dict[int, float] = {}
        changes = (self._change(pacing, place, each, changed, held) for each in mine)
        yield from self.clock.side_by_side(changes, CHANGES_AT_ONCE)
        try:
            yield READ_BACK_AFTER
            yield from self._call(pacing, place, "DescribeInstances")
            if held:
                yield from self._call(pacing, place, "DeleteTags")
        except (QuotaExhausted, Unanswered):
            return
        yield A_LEDGER_CALL * math.ceil(len(mine) / LEDGER_ITEMS_A_CALL)
        self.ledger.enforced.update(changed)
        for instance, due in held.items():
            self.ledger.hold([instance], due)

    def _change(self, pacing: Pacing, place: Place, instance: int, changed: list[int], held: dict[int, float]) -> Steps:
        try:
            yield from self._call(pacing, place, "ModifyInstanceMetadataOptions", instance=instance)
            changed.append(instance)
        except QuotaExhausted as exhausted:
            held[instance] = self.clock.now + exhausted.ready_in
        except Unanswered as unanswered:
            # What EC2 only throttled it did not do; else nobody knows, and the lease has to end.
            if not unanswered.in_doubt:
                held[instance] = self._soon()

    def _call(
        self, pacing: Pacing, place: Place, operation: str, asked: float = 0.0, instance: int | None = None
    ) -> Steps:
        """A call as botocore makes it: paced, and repeated with backoff as its standard mode does."""
        cost = max(LEAST_DATAPOINTS, asked) if asked else 1.0
        call = next(self._calls)
        in_doubt = False
        yield pacing.reserve(place, operation, cost)
        for attempt in range(1, ATTEMPTS + 1):
            yield self.chance.uniform(*LATENCY)
            outcome = self.aws.answer(place, operation, cost, (instance, call) if instance is not None else None)
            if outcome == "done":
                return
            if outcome == "throttled":
                pacing.throttled(place, operation)
            else:
                in_doubt = True
            if attempt < ATTEMPTS:
                yield pacing.reserve(place, operation, cost, in_doubt=in_doubt)
                yield self.chance.random() * min(20.0, _BACKOFF[outcome] * 2 ** (attempt - 1))
        raise Unanswered(in_doubt=in_doubt)

    def _soon(self) -> float:
        return self.clock.now + SOON * self.chance.uniform(1.0, 1.1)
