"""Counts what a piece of work asks of AWS, and knows the least that it could have asked."""

from __future__ import annotations

import math
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.hooks import BaseEventHooks

IDS_A_DESCRIBE = 1000
RESOURCES_A_TAGGING = 1000
QUERIES_A_METRIC_CALL = 500
DATAPOINTS_A_METRIC_CALL = 100_800
"""Limits of EC2 and CloudWatch (their API references)."""

LOOKED_AT = {"ec2", "cloudwatch"}
"""The services whose quotas belong to the account that owns the instances."""


@dataclass(slots=True)
class Calls:
    """Calls by (service, operation), each counted once however often botocore had to send it."""

    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, events: BaseEventHooks) -> None:
        """Count what a client, or every client of a session, asks from now on."""
        events.register("before-call", self.note)

    def note(self, model: Any, **_: Any) -> None:
        """Count one call; botocore's `before-call` event."""
        with self._lock:
            self.made[(model.service_model.service_name, model.name)] += 1

    @property
    def of_looked_at(self) -> int:
        """Calls of EC2 and CloudWatch."""
        return sum(count for (service, _), count in self.made.items() if service in LOOKED_AT)

    @property
    def others(self) -> int:
        """Calls of everything else."""
        return self.made.total() - self.of_looked_at


def floor(*, instances: int, lookback_days: int, changed: int | None = None) -> int:
    """The fewest EC2 and CloudWatch calls that can judge instances of one account and Region, and change those that may be changed.

    Pages to describe them; metric pages at hourly periods; of those that may be changed, refused calls by the day, and three series
    around the last start; tags by the thousand, pages to look again immediately before the changes, a change each, pages to read
    back. All are `changed` unless it says how many. Where AWS's quota makes the changes last longer than such a look is good for,
    a page more is needed every 12 seconds; quotas are off where this is the baseline.
    """
    changed = instances if changed is None else changed
    a_metric_call = min(QUERIES_A_METRIC_CALL, DATAPOINTS_A_METRIC_CALL // (lookback_days * 24))
    pages = math.ceil(instances / IDS_A_DESCRIBE)
    metric_pages = math.ceil(instances / a_metric_call)
    taggings = math.ceil(changed / RESOURCES_A_TAGGING)
    read_back = math.ceil(changed / IDS_A_DESCRIBE)
    look_again = math.ceil(changed / IDS_A_DESCRIBE)
    return pages + metric_pages + closer_looks(changed) + taggings + look_again + changed + read_back


def closer_looks(changed: int) -> int:
    """The calls that see refused use and the start itself: what the floor rose by when they became evidence."""
    return math.ceil(changed / QUERIES_A_METRIC_CALL) + math.ceil(3 * changed / QUERIES_A_METRIC_CALL)
