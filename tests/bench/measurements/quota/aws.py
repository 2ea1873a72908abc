"""EC2 and CloudWatch with their token buckets, and the requests that get lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from imdsv2.aws.pacing import QUOTAS

if TYPE_CHECKING:
    import random

    from imdsv2.aws.pacing import Quota
    from imdsv2.domain.instance import Place
    from tests.bench.measurements.quota.clock import Clock

LOST = 0.01
"""The share of requests that get no answer; half of them were carried out."""

Outcome = Literal["done", "throttled", "lost"]


@dataclass(slots=True)
class ServerBucket:
    """A token bucket as EC2 describes its own: so many tokens are added each second, and none in between."""

    quota: Quota
    tokens: float
    second: int = 0

    def grants(self, cost: float, now: float) -> bool:
        """Whether a request is let through."""
        passed = int(now) - self.second
        self.second = int(now)
        self.tokens = min(self.quota.burst, self.tokens + passed * self.quota.rate)
        if self.tokens < min(cost, self.quota.burst):
            return False
        self.tokens -= cost
        return True


@dataclass(slots=True)
class Aws:
    """EC2 and CloudWatch of all accounts."""

    clock: Clock
    chance: random.Random
    buckets: dict[tuple[Place, str], ServerBucket] = field(default_factory=dict)
    changed_by: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Instances that require tokens, with the calls that EC2 took for each, repeats of the same call aside."""
    answers: Counter[str] = field(default_factory=Counter)

    def answer(self, place: Place, operation: str, cost: float, change: tuple[int, int] | None) -> Outcome:
        """Answer a request; `change` is an instance to change, and the call that asks for it."""
        key = (place, operation)
        if key not in self.buckets:
            self.buckets[key] = ServerBucket(QUOTAS[operation], QUOTAS[operation].burst)
        outcome: Outcome = "done" if self.buckets[key].grants(cost, self.clock.now) else "throttled"
        if outcome == "done":
            fate = self.chance.random()
            if change is not None and fate >= LOST / 2:
                instance, call = change
                self.changed_by[instance].add(call)
            outcome = "lost" if fate < LOST else "done"
        self.answers[outcome] += 1
        return outcome


class Unanswered(Exception):
    """botocore has given a call up."""

    def __init__(self, *, in_doubt: bool) -> None:
        super().__init__()
        self.in_doubt = in_doubt
