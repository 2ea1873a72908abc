"""What CloudWatch's list of instances that refuse calls spares: it costs one request for each account and Region, while reading
the metric costs as much for each instance. Whatever the list cannot answer is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.hours import HOUR
from imdsv2.domain.health import LATE
from imdsv2.domain.policy import Watch

if TYPE_CHECKING:
    from imdsv2.domain.policy import Policy
    from imdsv2.guard.watch import Watched

FAST_FOR = timedelta(hours=2)
"""From the change, or from a start during the watch: most of what breaks does so by then, and a metric that is new takes up to a
quarter of an hour to be listed (ListMetrics API reference)."""

_TRIED_FOR = timedelta(hours=1)
_LISTED_FOR = timedelta(hours=1)
"""The list reaches back three hours, and CloudWatch may show a call two hours late. Where the guard did not run for longer than what
is left, refused calls may have come and gone unlisted."""


def may_be_unlisted(previous: datetime | None, now: datetime) -> bool:
    """Whether calls may have been refused since the pass before (``previous``; None where there was none) that the list of the last
    hours has no longer."""
    return previous is None or now - previous > _LISTED_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is known of one account and Region before anything is read there.

    ``named``: ids of the instances that CloudWatch lists for refused calls; None where that is not known. ``previous``: when the
    pass before this one began; None where there was none.
    """

    named: frozenset[str] | None
    previous: datetime | None

    def leaves_open(self, watched: Watched, policy: Policy, now: datetime) -> bool:
        """Whether an instance has to be read in this pass.

        Not read is only what is not listed, broke no earlier, has been watched for a while, and whose watch cannot end in this
        pass: of these nothing is concluded. At the end of a watch the metric is read from its beginning on.
        """
        if self.named is None or self.previous is None or may_be_unlisted(self.previous, now):
            return True
        record = watched.record
        if record.arn.instance_id in self.named or record.is_broken:
            return True
        if record.changed_at is not None and record.changed_at >= self.previous:
            return True  # Something was found, or told, in the pass before this one.
        begun = max(watched.since, watched.instance.launched_at)
        if policy.watch is Watch.FAST and now - begun < FAST_FOR:
            return True
        return self._may_end(watched, self.previous, now)

    def _may_end(self, watched: Watched, previous: datetime, now: datetime) -> bool:
        """Whether a watch may end now: at its end and in the hour after it, in case something could not be read; and from then on
        whenever CloudWatch has one more whole hour of the instance's life."""
        ends_at = watched.since + timedelta(hours=watched.hours) + LATE
        if now < ends_at:
            return False
        return previous < ends_at + _TRIED_FOR or _whole_hours(previous) < _whole_hours(now)


def _whole_hours(now: datetime) -> int:
    """The hours, since 1970, that CloudWatch shows wholly."""
    return math.floor((now - LATE).timestamp() / HOUR)
