"""The ranges of time that are looked at for one instance, and what is asked about each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.evidence.hours import Hours, at
from imdsv2.domain.policy import LONGEST_MEMORY_DAYS

if TYPE_CHECKING:
    from imdsv2.domain.history import History
    from imdsv2.domain.instance import Instance
    from imdsv2.domain.policy import Policy

FINE = 300
"""Seconds of the shortest period that basic monitoring has (EC2 User Guide, CloudWatch metrics)."""
FINE_MEMORY = timedelta(days=62)
"""CloudWatch keeps periods of five minutes for 63 days (CloudWatch User Guide, metrics retention)."""
MEMORY = timedelta(days=LONGEST_MEMORY_DAYS)
START = timedelta(hours=2)
"""What belongs to a start."""

_LISTED_FOR = timedelta(days=7)
"""ListMetrics leaves out what has had no datapoint for two weeks (its API reference); half of that is well within."""
_SHUTDOWN = timedelta(minutes=10)
"""How long an instance may run on after EC2 was told to stop it."""
_ATTACHING = timedelta(minutes=1)
"""The primary network interface is attached within seconds of the first launch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One instance, what the ledger knows of it, and the window through which it is looked at.

    ``end``: now, or when it stopped.
    """

    instance: Instance
    history: History
    start: datetime
    end: datetime
    now: datetime

    @property
    def touched(self) -> Hours:
        """For use, every hour that touches the window; software may call until the machine is really off."""
        return Hours.touching(self.start, self.end + _SHUTDOWN if self.instance.state == "stopped" else self.end)

    @property
    def inside(self) -> Hours:
        """For coverage, the hours wholly inside the window."""
        return Hours.inside(self.start, self.end)

    @property
    def edge(self) -> int | None:
        """The hour in which the window begins because a person said so: of its use, only what came after counts."""
        mended_at = self.history.mended_at
        if mended_at is None or mended_at != self.start or mended_at < self.now - FINE_MEMORY:
            return None
        first = self.touched.first
        return first if at(first) < mended_at else None

    @property
    def started_at(self) -> datetime:
        """The last time at which boot software is known to have run: the last start, or a later reboot that a person or CloudTrail
        told of."""
        known = (self.instance.launched_at, self.history.mended_at, self.history.rebooted_at)
        return max(each for each in known if each is not None)

    @property
    def start_ends(self) -> datetime:
        """When the last start is over: two hours after it, or sooner where the instance stopped."""
        end = self.started_at + START
        return min(end, max(self.end, self.started_at)) if self.instance.state == "stopped" else end

    @property
    def start_is_fine(self) -> bool:
        """Whether CloudWatch still has the periods of five minutes around the last start."""
        return self.started_at >= self.now - FINE_MEMORY

    @property
    def start_is_forgotten(self) -> bool:
        return self.started_at < self.now - MEMORY

    @property
    def start_hours(self) -> Hours:
        """The hours that touch the last start; a datapoint is stamped with the beginning of its own five minutes."""
        first = datetime.fromtimestamp(first_fine(self.started_at), UTC)
        return Hours.touching(first, max(self.start_ends, self.started_at + timedelta(seconds=1)))

    @property
    def start_may_be_a_resume(self) -> bool:
        """Whether it may have come back from hibernation, at which no boot software runs: at its first launch it did not."""
        instance = self.instance
        if not instance.hibernates or self.started_at != instance.launched_at:
            return False
        first = instance.first_launched_at
        return first is None or instance.launched_at - first > _ATTACHING

    @property
    def start_is_inside(self) -> bool:
        """Whether the last start lies in the window, whose hours then tell of its use."""
        return self.start_hours.first >= self.touched.first

    @property
    def proof_is_kept(self) -> bool:
        """Whether the ledger keeps the proof that this start was observed and made no call."""
        return self.history.proved_start == self.started_at

    @property
    def refused_since(self) -> datetime | None:
        """From when on refused calls count: what came before was dealt with by a person."""
        return max((when for when in (self.history.cleared_at, self.history.mended_at) if when), default=None)

    @property
    def refused_from(self) -> int | None:
        """The first period of five minutes whose refused calls count, by its beginning (seconds since 1970).

        A clearance settles the period in which it is given as well: the instance had been put back before, or a person has just
        said what the calls were. A reboot settles only what certainly came before it.
        """
        since, cleared_at = self.refused_since, self.history.cleared_at
        if since is None:
            return None
        return math.ceil(since.timestamp() / FINE) * FINE if since == cleared_at else first_fine(since)

    @property
    def is_quiet_before(self) -> bool:
        """Whether the ledger keeps that no call was made before the window: it once was in a window itself, or looked at."""
        quiet_until = self.history.quiet_until
        return quiet_until is not None and at(self.touched.first) <= quiet_until

    def refused_is_known_from(self, first: int) -> bool:
        """Whether the ledger keeps that no call was refused from an hour on, up to lately: the list of what has datapoints, which
        reaches back two weeks, then says whether one was since."""
        history = self.history
        if history.unrefused_since is None or history.unrefused_until is None or history.unrefused_since > at(first):
            return False
        if history.required_at is not None and history.required_at >= history.unrefused_until:
            return False
        return self.now - history.unrefused_until <= _LISTED_FOR

    @property
    def required(self) -> tuple[datetime, datetime] | None:
        """From when to when tokens are known to have been required because the service required them: up to when it was put
        back, else up to when they were last seen required. Such hours have no datapoint of accepted calls, and are no gap."""
        enforced_at = self.history.enforced_at
        if enforced_at is None:
            return None
        ended_at = self.history.put_back_at
        if ended_at is None or ended_at < enforced_at:
            ended_at = self.history.required_seen_at
        return (enforced_at, ended_at) if ended_at is not None and ended_at >= enforced_at else None


def window_of(
    instance: Instance, history: History, policy: Policy, now: datetime, *, stopped_at: datetime | None
) -> Window:
    """The window of an instance whose end is known: its last days up to now, or up to its stop, from its first launch, from a
    person's word or from CloudWatch's memory on, whichever is latest."""
    end = stopped_at if instance.state == "stopped" and stopped_at is not None else now
    begins = (end - timedelta(days=policy.lookback_days), now - MEMORY, instance.first_launched_at, history.mended_at)
    start = max(each for each in begins if each is not None)
    return Window(instance=instance, history=history, start=min(start, end), end=end, now=now)


def first_fine(when: datetime) -> int:
    """The beginning of the first period of five minutes that may hold what happened at ``when`` or later.

    A datapoint is stamped with the beginning of the five minutes that it covers, and these need not lie on the boundaries of
    periods (EC2 User Guide): a call may stand in the period before the one in which it was made.
    """
    return (math.floor(when.timestamp() / FINE) - 1) * FINE
