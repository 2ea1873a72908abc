"""Pacing: no account is asked faster than its quotas allow, and what has to wait too long waits in the ledger.

AWS throttles each API of an account and Region by a token bucket of its own. The same bucket is kept here, as full as it
can be there: a call takes what it costs, and waits until that has been refilled. Others draw on the quotas too: the
account's own people, and those of our functions that run at the same time. Nobody coordinates them. How many run at once is
capped where they are started, APIs that people need too are used by a share, and whoever is throttled yields: its
rate is halved at once and grows back within a minute, so that those who draw on one quota come to share it.

Nothing here knows AWS's SDK; ``imdsv2.aws`` asks before each call, and tells what became of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from imdsv2.errors import QuotaExhausted

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import Place

_YIELD_TO = 0.5
_YIELD_ONCE_IN = 1.0
"""Seconds. Calls that were under way together are throttled together; that is one reason to yield, not several."""
_RECOVERY = 60.0
"""Seconds from a standstill back to the whole rate."""
_SLOWEST = 0.05
"""Of the whole rate. Whoever stood still would never learn that there is room again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What AWS lets an account have of one API in one Region.

    Args:
        rate: tokens that the bucket gets a second.
        burst: tokens that it holds.
        needed_by_others: whether the account's own people and tools live by this API too.
    """

    rate: float
    burst: float
    needed_by_others: bool = True

    def part(self, share: float) -> Quota:
        """What we take of it. A share above 1 is for accounts whose quotas AWS has raised."""
        factor = share if self.needed_by_others else max(share, 1.0)
        return Quota(rate=self.rate * factor, burst=self.burst * factor, needed_by_others=self.needed_by_others)


DATAPOINTS_A_SECOND = 396_000
LEAST_DATAPOINTS = DATAPOINTS_A_SECOND / 50
"""GetMetricData has two quotas, datapoints and 50 calls a second: a call that costs at least this much keeps both."""

QUOTAS = {
    "DescribeInstances": Quota(rate=10, burst=50),
    "ModifyInstanceMetadataOptions": Quota(rate=5, burst=100, needed_by_others=False),
    "CreateTags": Quota(rate=10, burst=100),
    "DeleteTags": Quota(rate=10, burst=100),
    "GetMetricData": Quota(rate=DATAPOINTS_A_SECOND, burst=DATAPOINTS_A_SECOND),
}
"""AWS's defaults.

EC2: "Request throttling for the Amazon EC2 API" in its developer guide, tables of request token bucket sizes and refill
rates. DescribeInstances has a second bucket (100, refilled by 20) for calls with a filter or a page size; whether a list of
ids counts as a filter is not said, so all draw on the smaller one. Whether a dry run costs a token is not said either; here
it does.

CloudWatch: "CloudWatch service quotas" in its user guide for 50 calls a second. AWS's knowledge center says 396,000
datapoints a second where the range begins more than three hours ago, copies of the user guide 90,000; not confirmed.
The size of that bucket is not published: a second's worth.
"""


class Bucket:
    """A token bucket whose rate yields to throttling. It owes what was taken ahead of time. Not safe among threads."""

    def __init__(self, quota: Quota, now: float) -> None:
        self._quota = quota
        self._tokens = quota.burst
        self._filled_at = now
        self._yielded_to = quota.rate
        self._yielded_at = -math.inf

    def rate(self, now: float) -> float:
        """Tokens a second: what was yielded to comes back, gently at first and ever faster."""
        regained = self._quota.rate * ((now - self._yielded_at) / _RECOVERY) ** 2
        return min(self._quota.rate, self._yielded_to + regained)

    def room_in(self, cost: float, now: float) -> float:
        """Seconds until a call of that cost may be made."""
        self._refill(now)
        return max(0.0, (cost - self._tokens) / self.rate(now))

    def take(self, cost: float, now: float) -> None:
        """Take tokens, on credit if need be: whoever comes later waits for them."""
        self._refill(now)
        self._tokens -= cost

    def yield_(self, now: float) -> None:
        """AWS throttled: its bucket is empty, whatever ours holds, and others draw on it."""
        self._refill(now)
        self._tokens = min(self._tokens, 0.0)
        if now - self._yielded_at >= _YIELD_ONCE_IN:
            self._yielded_to = max(self.rate(now) * _YIELD_TO, self._quota.rate * _SLOWEST)
            self._yielded_at = now

    def _refill(self, now: float) -> None:
        # By the rate at the beginning of the time that has passed, which is the lowest in it.
        gained = max(0.0, now - self._filled_at) * self.rate(self._filled_at)
        self._tokens = min(self._quota.burst, self._tokens + gained)
        self._filled_at = max(self._filled_at, now)


class Pacing:
    """The buckets of all accounts and Regions that one function works in. Safe among threads.

    Args:
        share: how much of a quota that others need too is ours.
        clock: seconds that only ever grow.
        chance: a number from 0 to 1, another one each time.
    """

    def __init__(
        self,
        *,
        share: float,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._quotas = {operation: quota.part(share) for operation, quota in QUOTAS.items()}
        self._clock = clock
        self._chance = chance
        self._buckets: dict[tuple[Place, str], Bucket] = {}
        self._until = math.inf
        self._lock = Lock()

    def end_in(self, seconds: float) -> None:
        """From now on wait for nothing that comes later than this."""
        self._until = self._clock() + seconds

    def reserve(self, place: Place, operation: str, cost: float = 1.0, *, in_doubt: bool = False) -> float:
        """Take what a request costs, and return the seconds to wait before it may be sent.

        Raises QuotaExhausted, and takes nothing, where that is later than `end_in` allows; but never for a request that
        repeats one of which nobody knows whether AWS did it, because only another answer ends that doubt.
        """
        if operation not in self._quotas:
            return 0.0
        with self._lock:
            now = self._clock()
            bucket = self._bucket(place, operation, now)
            seconds = bucket.room_in(cost, now)
            patience = max(0.0, self._until - now)
            if seconds > patience and not in_doubt:
                raise QuotaExhausted(operation, place, seconds)
            bucket.take(cost, now)
            if seconds > 0.0:
                # Functions that were throttled together would else come back together, for ever.
                seconds += self._chance() * cost / bucket.rate(now)
            return min(seconds, patience)

    def throttled(self, place: Place, operation: str) -> None:
        """AWS refused a request for its quota: others draw on it, and we yield."""
        if operation in self._quotas:
            with self._lock:
                now = self._clock()
                self._bucket(place, operation, now).yield_(now)

    def _bucket(self, place: Place, operation: str, now: float) -> Bucket:
        key = (place, operation)
        if key not in self._buckets:
            self._buckets[key] = Bucket(self._quotas[operation], now)
        return self._buckets[key]
