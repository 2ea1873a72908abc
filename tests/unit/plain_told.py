"""All that is known of one instance, by EC2, the ledger and CloudWatch, as the plain model of evidence takes it (plain_evidence.py).

A datapoint is stamped with the beginning of the five minutes that it covers, which need not lie on :00 or :05.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.unit.evidence_builders import FIVE, START
from tests.world.cloudwatch import MEMORY, hour_of

if TYPE_CHECKING:
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.policy import Policy
    from tests.world.cloudwatch import CloudWatch

FINE_FOR = timedelta(days=62)
"""Of older times the service asks for hours only."""
SHUTDOWN = timedelta(minutes=10)
"""So long an instance may run on after it was told to stop."""


def five_of(when: datetime) -> datetime:
    """The beginning of the period of five minutes of a time."""
    return datetime.fromtimestamp(math.floor(when.timestamp() / 300) * 300, when.tzinfo)


def may_be_since(stamp: datetime, when: datetime) -> bool:
    """Whether the datapoint, of which only its period is known, may tell of something at that time or later."""
    return five_of(stamp) + 2 * FIVE > when


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that is known of one instance: by EC2, the ledger and CloudWatch."""

    target: Instance
    history: History
    policy: Policy
    now: datetime
    cloudwatch: CloudWatch

    def points(self, metric: str) -> dict[datetime, float]:
        """What CloudWatch remembers of a metric."""
        known = self.cloudwatch.points.get((metric, self.target.arn.instance_id), {})
        return {when: value for when, value in known.items() if when >= self.now - MEMORY}

    def calls(self, metric: str) -> list[datetime]:
        """The stamps of datapoints with calls."""
        return [when for when, value in self.points(metric).items() if value]

    @property
    def end(self) -> datetime:
        """Now, or when it stopped."""
        return self.target.stopped_at or self.now

    @property
    def begin(self) -> datetime:
        """The beginning of the window."""
        known = (self.end - timedelta(days=self.policy.lookback_days), self.now - MEMORY)
        said = (self.target.first_launched_at, self.history.mended_at)
        return min(max(each for each in (*known, *said) if each is not None), self.end)

    @property
    def started(self) -> datetime:
        """The last time at which boot software is known to have run."""
        known = (self.target.launched_at, self.history.mended_at, self.history.rebooted_at)
        return max(each for each in known if each is not None)

    @property
    def start_over(self) -> datetime:
        """When its start is over."""
        if self.target.stopped_at is None:
            return self.started + START
        return min(self.started + START, max(self.target.stopped_at, self.started))

    @property
    def settled_until(self) -> datetime | None:
        """Until when a person has settled refused calls."""
        said = [each for each in (self.history.cleared_at, self.history.mended_at) if each is not None]
        return max(said, default=None)

    def counts(self, stamp: datetime) -> bool:
        """Whether a refused call still counts. A clearance settles its own five minutes as well."""
        until = self.settled_until
        if until is None:
            return True
        if until < self.now - FINE_FOR:
            return hour_of(stamp).replace(hour=0) >= hour_of(until).replace(hour=0)
        return five_of(stamp) >= until if until == self.history.cleared_at else may_be_since(stamp, until)

    @property
    def is_fine(self) -> bool:
        """Whether CloudWatch still has the five minutes around its start."""
        return self.started >= self.now - FINE_FOR

    @property
    def is_forgotten(self) -> bool:
        """Whether CloudWatch has forgotten its start."""
        return self.started < self.now - MEMORY
