"""Client-side rate limiting: calls stay within each account's quotas; work that would wait too long is deferred.

AWS throttles each API per account and Region with a token bucket. This module keeps a copy of that bucket, at the
highest level that AWS's own can have: a call takes its cost and waits until the tokens have been refilled. Others use
the same quotas: the account's own users, and concurrent invocations of this service. They are not coordinated.
Concurrency is capped where invocations are started, APIs that users need too are used only by a share, and a throttled
caller backs off: its rate is halved at once and recovers within a minute, so that the callers converge to a fair share.

This module does not use the AWS SDK; `aws.retries` calls it before each request and reports throttling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from imdsv2.errors import QuotaExhausted, TimeExhausted

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import Place

_YIELD_TO = 0.5
_YIELD_ONCE_IN = 1.0
"""Seconds. Concurrent calls are throttled together; that is one reason to back off, not several."""
_RECOVERY = 60.0
"""Seconds until the rate recovers from zero to its maximum."""
_SLOWEST = 0.05
"""Share of the full rate. A rate of zero would never discover that the quota has room again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """AWS's quota of one API in one account and Region.

    Args:
        rate: tokens refilled per second.
        burst: capacity of the bucket, in tokens.
        needed_by_others: whether the account's own users and tools depend on this API too.
    """

    rate: float
    burst: float
    needed_by_others: bool = True

    def part(self, share: float) -> Quota:
        """The part of the quota that the service uses. A share above 1 is for accounts with raised quotas."""
        factor = share if self.needed_by_others else max(share, 1.0)
        return Quota(rate=self.rate * factor, burst=self.burst * factor, needed_by_others=self.needed_by_others)


DATAPOINTS_A_SECOND = 396_000
LEAST_DATAPOINTS = DATAPOINTS_A_SECOND / 50
"""GetMetricData has two quotas: datapoints, and 50 calls per second. This minimum cost per call enforces both."""

QUOTAS = {
    "DescribeInstances": Quota(rate=10, burst=50),
    "ModifyInstanceMetadataOptions": Quota(rate=5, burst=100, needed_by_others=False),
    "CreateTags": Quota(rate=10, burst=100),
    "DeleteTags": Quota(rate=10, burst=100),
    "LookupEvents": Quota(rate=2, burst=2),
    "GetMetricData": Quota(rate=DATAPOINTS_A_SECOND, burst=DATAPOINTS_A_SECOND),
    "GetFindings": Quota(rate=3, burst=6),
    "GetFindingsV2": Quota(rate=3, burst=6),
    "BatchUpdateFindings": Quota(rate=10, burst=30),
    "BatchUpdateFindingsV2": Quota(rate=10, burst=30),
}
"""AWS's default quotas.

EC2: "Request throttling for the Amazon EC2 API" in the developer guide, tables of request token bucket sizes and refill
rates. DescribeInstances has a second bucket (100, refilled by 20) for calls with a filter or a page size; the guide
does not say whether a list of ids counts as a filter, so all calls use the smaller one. Nor does it say whether a dry
run costs a token; here it does. CloudTrail: LookupEvents in "Quotas in AWS CloudTrail".

CloudWatch: "CloudWatch service quotas" in the user guide for 50 calls per second. AWS's knowledge center says 396,000
datapoints per second if the range begins more than three hours ago, copies of the user guide say 90,000; not confirmed.
The size of the bucket is not published; one second's worth is assumed.

Security Hub, in its own account and Region only: "Security Hub API throttling limits" in the API reference. The limits of the
operations that end in V2 are not published; they are taken to be the same.
"""


class Bucket:
    """A token bucket whose rate drops when AWS throttles. Its balance may go negative. Not thread-safe."""

    def __init__(self, quota: Quota, now: float) -> None:
        self._quota = quota
        self._tokens = quota.burst
        self._filled_at = now
        self._yielded_to = quota.rate
        self._yielded_at = -math.inf

    def rate(self, now: float) -> float:
        """The current rate in tokens per second; after a drop it recovers quadratically, slowly at first."""
        regained = self._quota.rate * ((now - self._yielded_at) / _RECOVERY) ** 2
        return min(self._quota.rate, self._yielded_to + regained)

    def room_in(self, cost: float, now: float) -> float:
        """Seconds until a call of that cost may be sent."""
        self._refill(now)
        return max(0.0, (cost - self._tokens) / self.rate(now))

    def take(self, cost: float, now: float) -> None:
        """Take tokens, even below zero: later callers wait longer."""
        self._refill(now)
        self._tokens -= cost

    def yield_(self, now: float) -> None:
        """Back off after throttling: AWS's bucket is empty, whatever this one holds; others use the quota too."""
        self._refill(now)
        self._tokens = min(self._tokens, 0.0)
        if now - self._yielded_at >= _YIELD_ONCE_IN:
            self._yielded_to = max(self.rate(now) * _YIELD_TO, self._quota.rate * _SLOWEST)
            self._yielded_at = now

    def _refill(self, now: float) -> None:
        # Use the rate at the start of the elapsed time, which is its lowest.
        gained = max(0.0, now - self._filled_at) * self.rate(self._filled_at)
        self._tokens = min(self._quota.burst, self._tokens + gained)
        self._filled_at = max(self._filled_at, now)


class Pacing:
    """The buckets of all accounts and Regions that one function calls. Thread-safe.

    Args:
        share: the share of a quota to use if others need it too.
        clock: a monotonic clock, in seconds.
        chance: returns a random number from 0 to 1.
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
        """Set the deadline: from now on, waiting longer than this raises QuotaExhausted."""
        self._until = self._clock() + seconds

    def has_time(self) -> bool:
        """Whether the deadline set with `end_in` has not passed yet."""
        return self._clock() < self._until

    def reserve(
        self, place: Place, operation: str, cost: float = 1.0, *, in_doubt: bool = False, begins: bool = False
    ) -> float:
        """Take the cost of a request, and return the seconds to wait before sending it.

        Raises QuotaExhausted, and takes nothing, if the wait would exceed the deadline set with `end_in`. With
        ``in_doubt`` it never raises and waits at most until the deadline: the request repeats one that AWS may have
        executed, and only another answer resolves that. With ``begins`` it raises TimeExhausted once the deadline has
        passed, whether it would have to wait or not: the request begins something that has to be recorded.
        """
        if begins and not self.has_time():
            raise TimeExhausted(operation, place)
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
                # Jitter: functions that were throttled together would otherwise retry together forever.
                seconds += self._chance() * cost / bucket.rate(now)
            return min(seconds, patience)

    def throttled(self, place: Place, operation: str) -> None:
        """Report that AWS throttled a request, and back off."""
        if operation in self._quotas:
            with self._lock:
                now = self._clock()
                self._bucket(place, operation, now).yield_(now)

    def _bucket(self, place: Place, operation: str, now: float) -> Bucket:
        key = (place, operation)
        if key not in self._buckets:
            self._buckets[key] = Bucket(self._quotas[operation], now)
        return self._buckets[key]
