"""When an instance of the simulation has to be looked at again, because only then something may come out differently."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

from imdsv2.domain.health import alive_hours_needed
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import Reason
from tests.bench.simulation.agenda import day_by_day, up
from tests.bench.simulation.assumptions import DAY, END, HOUR, MINUTE
from tests.bench.simulation.cloud import ARRIVES_AFTER, LISTED_AFTER, PERIOD, hours_of
from tests.bench.simulation.owners import waits_for_a_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.cohort import Cohorts
    from tests.bench.simulation.ledger import Standing
    from tests.bench.simulation.machine import Machine

REVISIT_EVERY = 10 * MINUTE
"""The schedule says every minute; ten cost the service time, and the simulation a tenth of the work."""
FAST_FOR, LISTED_FOR = 2 * HOUR, 3 * HOUR
_EDITION = ("aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version")
_LATE = 15 * MINUTE
"""What the watch adds to its hours."""


class Outlook:
    """What is known of the fleet beforehand. Times are seconds since 1970."""

    def __init__(self, machines: Sequence[Machine], policy: Policy, cohorts: Cohorts, *, recalls: bool) -> None:
        self._machines: dict[InstanceArn, Machine] = {machine.arn: machine for machine in machines}
        self._policy = policy
        self._cohorts = cohorts
        self._recalls = recalls

    def learn(self, machine: Machine) -> None:
        """Take in what a person has done to a machine."""
        self._machines[machine.arn] = machine

    def next_revisit(self, arn: InstanceArn, standing: Standing, now: float) -> float | None:
        """The revisit that may come out differently: the first, or the first after what holds it has ended."""
        revisit_at = standing.revisit_at
        if revisit_at is None:
            return None
        match standing.reason:
            case Reason.V1_IN_USE:
                # The call that was seen last stays in the window for so long.
                assert standing.call_seen_at is not None
                return day_by_day(revisit_at, standing.call_seen_at + self._policy.lookback_days * DAY)
            case Reason.BOOT_NOT_OBSERVABLE if waits_for_a_start(standing, now):
                # What is not known of a start is never learnt later; the next start is another, or the next reboot that is on record.
                machine = self._machines[arn]
                start = machine.next_boot(now) if machine.by_api else machine.next_start(now)
                return day_by_day(revisit_at, start) if start is not None else None
            case Reason.CANARY_WAIT:
                return None if self._cohort_broke(arn) else revisit_at
        return revisit_at

    def _cohort_broke(self, arn: InstanceArn) -> bool:
        """For good, because nobody updates the software."""
        machine = self._machines[arn]
        tags, image = machine.source_tags, machine.image_id
        edition = "+".join([*(tags[name] for name in _EDITION if name in tags), image])
        source = f"group:{machine.group}@{edition}" if tags else f"image:{image}"
        key = f"{arn.partition}/{arn.account}/{arn.region}/{source}"
        return self._cohorts.read([key])[key].broken_by is not None

    def next_look(self, arn: InstanceArn, standing: Standing, now: float) -> float:
        """When an enforced instance gives the guard its next sign: a refused call, a start or a stop, or the end of its
        watch."""
        machine, enforced_at, restarted_at = self._machines[arn], standing.enforced_at, standing.restarted_at
        assert enforced_at is not None
        if not standing.is_watched:
            return self._recall(machine, enforced_at, now)
        verified = standing.status is Status.VERIFIED
        signs = [self._recall(machine, enforced_at, now)]
        signs += [machine.next_start(now) or math.inf] if restarted_at is None else []
        if not verified or restarted_at is not None:
            since = restarted_at if verified and restarted_at else enforced_at
            canary = self._policy.canary
            hours = canary.hours if canary is not None and standing.is_canary else self._policy.watch_hours
            signs.append(self._end_of_watch(machine, since, hours, now))
            # A watch that began anew with a start counts what came since the proof before it, too.
            counted_from = since - self._policy.watch_hours * HOUR if verified else since
            calls = machine.asked_between(max(counted_from, enforced_at) // PERIOD * PERIOD, END)
            reads = (self._read_at(machine, index, calls, since) for index in range(len(calls)))
            signs.append(next((each for each in reads if each > now), math.inf))
            if standing.is_canary and not standing.is_lost:
                signs.append(max(now, machine.run_at(now)[1]))
        return min(signs)

    @staticmethod
    def _read_at(machine: Machine, index: int, calls: Sequence[int], since: float) -> float:
        """When the guard first reads a refused call: as soon as CloudWatch shows it in the first hours of a watch and after a start;
        later when CloudWatch lists the instance for it, or has for one of the hours before."""
        arrival = _arrival(calls[index])
        if arrival - max(since, machine.run_at(arrival)[0]) < FAST_FOR:
            return arrival
        first = bisect_left(calls, arrival - LISTED_FOR)
        return max(arrival, _arrival(calls[min(first, index)]) + LISTED_AFTER)

    def _recall(self, machine: Machine, enforced_at: float, now: float) -> float:
        """The first pass of an hour at which CloudWatch names it for a refused call."""
        if not self._recalls:
            return math.inf
        for call in machine.asked_between(max(enforced_at, now - DAY), END):
            named = up(_arrival(call) + LISTED_AFTER, HOUR)
            if now < named and call // HOUR not in machine.lost_hours:
                return named
        return math.inf

    def _end_of_watch(self, machine: Machine, since: float, hours: int, now: float) -> float:
        """When a watch may end, at the earliest: it is over, and the instance has run long enough, by whole hours."""
        lacking = alive_hours_needed(hours, self._policy.min_coverage) - len(hours_of(machine, since, now))
        end = max(since + hours * HOUR + _LATE, (now // HOUR + lacking) * HOUR)
        return end if end > now else (now // HOUR + 1) * HOUR


def _arrival(call: float) -> float:
    """When CloudWatch shows a call."""
    return call // PERIOD * PERIOD + PERIOD + ARRIVES_AFTER
