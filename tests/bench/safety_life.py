"""A quarter of a year of the simulated fleet under the service: its line and its guard, on a clock that is only simulated.

What the schedule would do and what would come to nothing is left out: a look of the guard at an instance that gives no new sign, and a new
judgement of which the fleet says beforehand that it comes out the same. A test runs a small fleet with and without that.
"""

from __future__ import annotations

import heapq
import logging
import math
import random
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from imdsv2.aws import cloudwatch as metrics
from imdsv2.aws import metadata_options as action
from imdsv2.domain.health import alive_hours_needed
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Request, Source
from imdsv2.domain.verdict import Reason
from imdsv2.guard import rollback
from imdsv2.guard import run as guard
from imdsv2.ledger.cohort import Cohorts
from imdsv2.ledger.items import account_key
from imdsv2.line import enforce as enforcement
from imdsv2.line import run as line
from imdsv2.line.canaries import Canaries
from imdsv2.line.gate import Gates
from imdsv2.sweep.run import INSTANCES_A_BATCH
from tests.bench.safety_aws import (
    ARRIVES_AFTER,
    LISTED_AFTER,
    PERIOD,
    Box,
    Clock,
    Ears,
    FixedPolicy,
    Members,
    MemoryAccounts,
    MemoryLedger,
    Place,
    Serial,
    SilentHub,
    Table,
    hours_of,
)
from tests.bench.safety_fleet import DAY, END, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.table import Entry
    from tests.bench.safety_fleet import Machine

GUARD_EVERY = 5 * MINUTE
REVISIT_EVERY = 10 * MINUTE
"""The schedule says every minute; ten cost the service time, and the simulation a tenth of the work."""
LEASE = timedelta(minutes=6)
BREAKER_CLOSED_AT = 9
"""The hour of the next working day, UTC, at which a person closes a breaker."""
_LATE = 15 * MINUTE
"""What the watch adds to its hours."""


@dataclass(slots=True)
class Agenda:
    """When what has to be looked at again; what is put down anew replaces what was."""

    _heap: list[tuple[float, InstanceArn]] = field(default_factory=list)
    _due: dict[InstanceArn, float] = field(default_factory=dict)

    def put(self, arn: InstanceArn, when: float | None) -> None:
        if when is None:
            self._due.pop(arn, None)
        elif self._due.get(arn) != when:
            self._due[arn] = when
            heapq.heappush(self._heap, (when, arn))

    def next(self) -> float:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def take(self, now: float) -> list[InstanceArn]:
        """What is due."""
        taken = []
        while self.next() <= now:
            _, arn = heapq.heappop(self._heap)
            del self._due[arn]
            taken.append(arn)
        return taken


class Life:
    """The fleet, the service and the few things that people do."""

    def __init__(
        self,
        machines: Sequence[Machine],
        policy: Policy,
        *,
        guarded: bool = True,
        recalls: bool = True,
        thrifty: bool = True,
    ) -> None:
        self.clock = Clock()
        self.policy = policy
        self.boxes = {machine.arn: Box(machine) for machine in machines}
        self._groups: defaultdict[str, list[Machine]] = defaultdict(list)
        for machine in machines:
            self._groups[machine.group].append(machine)
        self._awake: dict[tuple[str, float], float] = {}
        self.ledger = MemoryLedger()
        table: Any = Table()
        self.accounts = MemoryAccounts(table)
        self.cohorts = Cohorts(table, "ledger")
        self.people = Ears()
        self._guarded, self._recalls = guarded, recalls
        self._thrifty = thrifty
        self._revisits, self._looks = Agenda(), Agenda()
        self._closings: list[tuple[float, str]] = []
        self.breakers_opened = 0
        self._wire()

    def _wire(self) -> None:
        by_place: dict[tuple[str, str], list[Box]] = defaultdict(list)
        for arn, box in self.boxes.items():
            by_place[arn.account, arn.region].append(box)
        self._places = {place: Place(self.clock, boxes) for place, boxes in by_place.items()}
        members: Any = Members(self._places)
        policies: Any = FixedPolicy(self.policy)
        teller: Any = self.people
        logger: Any = logging.getLogger("simulation")
        logger.addHandler(logging.NullHandler())
        canaries = Canaries(self.cohorts, self.ledger)
        # No calendar stands in the policy, so none is asked.
        gates = Gates(
            policies=policies,
            hub=cast("Any", SilentHub()),
            accounts=self.accounts,
            canaries=canaries,
            calendar=cast("Any", None),
            now=self.clock,
        )
        common: Any = {"members": members, "ledger": self.ledger, "now": self.clock, "logger": logger}
        self._line = line.Line(policies=policies, gates=gates, teller=teller, lease=LEASE, **common)
        self._guard = guard.Guard(
            accounts=self.accounts,
            cohorts=self.cohorts,
            policies=policies,
            rollback=rollback.Rollback(lease=LEASE, **common),
            teller=teller,
            **common,
        )

    def run(self, seed: int, until: int = END) -> None:
        """From the first sweep to the end. The seed is that of the jitter."""
        random.seed(seed)
        with ExitStack() as replaced:
            replaced.enter_context(mock.patch.object(action, "_READ_BACK_AFTER", (0,)))
            for module in (line, guard, rollback, enforcement, metrics):
                replaced.enter_context(mock.patch.object(module, "ThreadPoolExecutor", Serial))
            self._judge(sorted(self.boxes), Source.SWEEP)
            while (tick := self._next_tick()) < until:
                self.clock.seconds = tick
                self._close_breakers()
                self._look(self._looks.take(tick))
                if tick % REVISIT_EVERY == 0:
                    self._judge(self._revisits.take(tick), Source.REVISIT)
        self.clock.seconds = until

    def _next_tick(self) -> float:
        look = max(self._looks.next(), self.clock.seconds + 1)
        revisit = max(self._revisits.next(), self.clock.seconds + 1)
        closing = self._closings[0][0] if self._closings else math.inf
        return min(_up(look, GUARD_EVERY), _up(revisit, REVISIT_EVERY), _up(closing, GUARD_EVERY))

    def _judge(self, arns: Sequence[InstanceArn], source: Source) -> None:
        """Through the line, place by place, so that the jitter falls the same way each time."""
        by_place: dict[tuple[str, str], list[InstanceArn]] = defaultdict(list)
        for arn in arns:
            by_place[arn.account, arn.region].append(arn)
        for place in sorted(by_place):
            several = sorted(by_place[place])
            for first in range(0, len(several), INSTANCES_A_BATCH):
                requests = [Request(arn=arn, source=source) for arn in several[first : first + INSTANCES_A_BATCH]]
                outcomes = self._line.run(requests, f"judge-{self.clock.seconds}")
                for failure in outcomes.failed.values():
                    raise failure
        self._put_down()

    def _look(self, arns: Iterable[InstanceArn]) -> None:
        """A pass of the guard."""
        seen = {arn for arn in arns if _stands(self.ledger.entries[arn])}
        if not seen:
            return
        if self._thrifty:
            self.ledger.looked_at, self.accounts.looked_at = seen, {account_key(arn) for arn in seen}
            for place in self._places.values():
                place.looked_at = {arn.instance_id for arn in seen} if self._recalls else ()
        done = self._guard.run(f"guard-{self.clock.seconds}", lambda: True)
        if done.failed:
            raise RuntimeError(f"the guard failed in {done.failed} places")
        for account in self.people.breakers:
            heapq.heappush(self._closings, (_next_working_day(self.clock()), account.key))
        self.breakers_opened += len(self.people.breakers)
        self.people.breakers.clear()
        self.ledger.touched |= seen
        self._put_down()

    def _close_breakers(self) -> None:
        while self._closings and self._closings[0][0] <= self.clock.seconds:
            self.accounts.close_breaker(heapq.heappop(self._closings)[1], "the person on duty")

    def _put_down(self) -> None:
        """When what was written has to be looked at again."""
        for arn in self.ledger.touched:
            entry = self.ledger.entries[arn]
            revisit_at = entry.time("revisit_at")
            self._revisits.put(arn, self._not_before(entry, revisit_at.timestamp()) if revisit_at else None)
            if self._guarded:
                self._looks.put(arn, self._next_look(entry))
        self.ledger.touched.clear()

    def _not_before(self, entry: Entry, revisit_at: float) -> float | None:
        """The revisit that may come out differently: the first, or the first after what holds it has ended."""
        if not self._thrifty:
            return revisit_at
        match entry.attributes["reason"]:
            case Reason.V1_IN_USE:
                # The call that was seen last stays in the window for so long.
                last = datetime.fromisoformat(entry.attributes["evidence"]["last_tokenless_call"]).timestamp()
                return _day_by_day(revisit_at, last + self.policy.lookback_days * DAY)
            case Reason.BOOT_NOT_OBSERVABLE if revisit_at - self.clock.seconds > HOUR * 20:
                # What is not known of a start is never learnt later; the next start is another.
                start = self.boxes[entry.arn].machine.next_start(self.clock.seconds)
                return _day_by_day(revisit_at, start) if start is not None else None
            case Reason.CANARY_WAIT:
                return None if self._cohort_broke(entry.arn) else self._when_awake(entry.arn, revisit_at)
        return revisit_at

    def _cohort_broke(self, arn: InstanceArn) -> bool:
        """For good, because nobody updates the software."""
        key = f"{arn.partition}/{arn.account}/{arn.region}/group:{self.boxes[arn].machine.group}"
        return self.cohorts.read([key])[key].broken_by is not None

    def _when_awake(self, arn: InstanceArn, revisit_at: float) -> float:
        """Canaries neither prove anything nor are replaced while nothing of their cohort runs."""
        group, tick = self.boxes[arn].machine.group, _up(revisit_at, REVISIT_EVERY)
        if (group, tick) not in self._awake:
            machines = self._groups[group]
            starts = [each.next_start(tick) or math.inf for each in machines]
            self._awake[group, tick] = tick if any(each.is_running(tick) for each in machines) else min(starts)
        return max(revisit_at, self._awake[group, tick])

    def _next_look(self, entry: Entry) -> float | None:
        """When an instance gives the guard its next sign: a refused call, a start or a stop, or the end of its watch."""
        enforced_at, restarted_at = entry.time("enforced_at"), entry.time("restarted_at")
        if not _stands(entry) or enforced_at is None:
            return None
        if not self._thrifty:
            return self.clock.seconds + GUARD_EVERY
        machine, now = self.boxes[entry.arn].machine, self.clock.seconds
        if not entry.is_watched:
            return self._recall(machine, enforced_at.timestamp())
        verified = entry.status == Status.VERIFIED
        signs = [self._recall(machine, enforced_at.timestamp())]
        signs += [machine.next_start(now) or math.inf] if restarted_at is None else []
        if not verified or restarted_at is not None:
            since = (restarted_at if verified and restarted_at else enforced_at).timestamp()
            waits = bool(entry.attributes.get("canary")) and entry.time("clean_at") is None
            canary = self.policy.canary
            hours = canary.hours if canary is not None and waits else self.policy.watch_hours
            signs.append(self._end_of_watch(machine, since, hours))
            # A watch that began anew with a start counts what came since the proof before it, too.
            counted_from = since - self.policy.watch_hours * HOUR if verified else since
            arrivals = map(
                _arrival, machine.calls_between(max(counted_from, enforced_at.timestamp()) // PERIOD * PERIOD, END)
            )
            signs.append(next((arrival for arrival in arrivals if arrival > now), math.inf))
            if waits and not entry.attributes.get("canary_lost"):
                signs.append(max(now, machine.run_at(now)[1]))
        return min(signs)

    def _recall(self, machine: Machine, enforced_at: float) -> float:
        """The first pass of an hour at which CloudWatch names it for a refused call."""
        now, end = self.clock.seconds, enforced_at + self.policy.lookback_days * DAY
        if not self._recalls:
            return math.inf
        for call in machine.calls_between(max(enforced_at, now - DAY), end):
            named = _up(_arrival(call) + LISTED_AFTER, HOUR)
            if now < named <= end and call // HOUR not in machine.lost_hours:
                return named
        return math.inf

    def _end_of_watch(self, machine: Machine, since: float, hours: int) -> float:
        """When a watch may end, at the earliest: it is over, and the instance has run long enough, by whole hours."""
        now = self.clock.seconds
        lacking = alive_hours_needed(hours, self.policy.min_coverage) - len(hours_of(machine, since, now))
        end = max(since + hours * HOUR + _LATE, (now // HOUR + lacking) * HOUR)
        return end if end > now else (now // HOUR + 1) * HOUR


def _stands(entry: Entry) -> bool:
    return entry.is_watched or entry.status in {Status.ENFORCED, Status.VERIFIED}


def _day_by_day(first: float, bar: float) -> float:
    """The first of daily revisits that is not before a time."""
    return first + max(0, math.ceil((bar - first) / DAY)) * DAY


def _arrival(call: float) -> float:
    """When CloudWatch shows a call."""
    return call // PERIOD * PERIOD + PERIOD + ARRIVES_AFTER


def _up(when: float, grid: int) -> float:
    return math.ceil(when / grid) * grid if when < math.inf else math.inf


def _next_working_day(now: datetime) -> float:
    day = now.astimezone(UTC).replace(hour=BREAKER_CLOSED_AT, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return day.timestamp()
