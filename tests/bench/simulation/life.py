"""A quarter of a year of the simulated fleet under the service: its line and its guard, on a clock that is only simulated.

What the schedule would do and what would come to nothing is left out: a look of the guard at an instance that gives no new sign, and a new
judgement of which the fleet says beforehand that it comes out the same. A test runs a small fleet with and without that.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from imdsv2.aws import metadata_options as action
from imdsv2.domain.request import Request, Source
from imdsv2.ledger.items import account_key, to_text
from imdsv2.ledger.trail import Author
from imdsv2.line.evidence.siblings import Siblings
from imdsv2.people.request import parse
from imdsv2.sweep.run import INSTANCES_A_BATCH
from imdsv2.wiring.guard import build_guard
from imdsv2.wiring.people import build_people
from tests.bench.simulation.agenda import Agenda, next_working_day, up
from tests.bench.simulation.assumptions import BEGIN, END, MINUTE
from tests.bench.simulation.cloud import SimulatedInstance, places
from tests.bench.simulation.ledger import MemoryLedger
from tests.bench.simulation.office import after_working_hours
from tests.bench.simulation.origins import Origins
from tests.bench.simulation.outlook import REVISIT_EVERY, Outlook
from tests.bench.simulation.owners import Acts, Owners, is_held_by_calls
from tests.bench.simulation.service import Listener, assembled
from tests.world.clock import Clock
from tests.world.serial import THREADED, SerialPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.people.command_request import Command
    from tests.bench.simulation.cloud import SimulatedEc2
    from tests.bench.simulation.ledger import Standing
    from tests.bench.simulation.machine import Machine

GUARD_EVERY = 5 * MINUTE
REPORTED_AFTER = 10 * MINUTE
"""Seconds from a launch to the event of AWS Config that names it."""
BREAKER_CLOSED_AT = 9
"""The hour of the next working day, UTC, at which a person closes a breaker."""

_ON_DUTY = "the person on duty"
_BEFORE = timedelta(minutes=56)
"""The pass before one that is simulated: within the hour, and in an earlier hour of the day, so that this one recalls."""


def _nobody_asked(*_: Any, **__: Any) -> dict[str, Any]:
    """What the evidence of cohorts is to a service that judges each instance for itself."""
    return {}


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
        cohorts: bool = True,
        source: str | None = None,
        owners: Acts = Acts.NOTHING,
        seed: int = 0,
    ) -> None:
        self.clock = Clock(datetime.fromtimestamp(BEGIN, UTC))
        self.instances = {machine.arn: SimulatedInstance(machine, self.clock) for machine in machines}
        self._launches, self._returns = Agenda(), Agenda()
        for machine in machines:
            if machine.first_launched > BEGIN:
                self._launches.put(machine.arn, machine.first_launched + REPORTED_AFTER)
        self.ledger = MemoryLedger()
        self.breakers_opened = 0
        self._guarded, self._recalls, self._thrifty = guarded, recalls, thrifty
        self._revisits, self._looks = Agenda(), Agenda()
        self._closings: list[tuple[float, str]] = []
        self._people = Listener(self.ledger)
        self._places = places(self.clock, [each for each in self.instances.values() if each.machine.ended > BEGIN])
        self._origins = Origins(source, self.ledger, seed)
        self._origins.launch(each for each in self.instances.values() if each.is_there)
        self._owners = Owners(acts=owners, seed=seed)
        self._cohorts = cohorts
        service, self._accounts = assembled(self.clock, self._places, policy, self.ledger, self._people)
        self._line, self._guard, self._commands = service.line, build_guard(service), build_people(service)
        self._outlook = Outlook(machines, policy, service.cohorts, recalls=recalls)

    def run(self, seed: int, until: int = END) -> None:
        """From the first sweep to the end. The seed is that of the jitter."""
        random.seed(seed)
        with ExitStack() as replaced:
            replaced.enter_context(mock.patch.object(action, "_READ_BACK_AFTER", (0,)))
            if not self._cohorts:
                replaced.enter_context(mock.patch.object(Siblings, "pooled", _nobody_asked))
            for module in THREADED:
                replaced.enter_context(mock.patch.object(module, "ThreadPoolExecutor", SerialPool))
            self._judge(sorted(arn for arn, each in self.instances.items() if each.is_there), Source.SWEEP)
            while (tick := self._next_tick()) < until:
                self.clock.seconds = tick
                self._close_breakers()
                self._put_back_by_hand(self._returns.take(tick))
                self._restart(self._owners.take(tick))
                self._say_mended(self._owners.say(tick))
                self._judge(self._arrived(self._launches.take(tick)), Source.CONFIG)
                self._look(self._looks.take(tick))
                if tick % REVISIT_EVERY == 0:
                    self._judge(self._revisits.take(tick), Source.REVISIT)
        self.clock.seconds = until

    def _arrived(self, arns: list[InstanceArn]) -> list[InstanceArn]:
        """Instances of whose launch AWS Config has just told."""
        for arn in arns:
            cast("SimulatedEc2", self._places[arn.account, arn.region].ec2).launch(self.instances[arn])
        self._origins.launch(self.instances[arn] for arn in arns)
        return arns

    def _next_tick(self) -> float:
        now = self.clock.seconds
        closing = self._closings[0][0] if self._closings else math.inf
        return min(
            up(max(self._looks.next(), now + 1), GUARD_EVERY),
            up(max(self._revisits.next(), now + 1), REVISIT_EVERY),
            up(closing, GUARD_EVERY),
            up(max(self._launches.next(), now + 1), GUARD_EVERY),
            up(max(self._returns.next(), now + 1), GUARD_EVERY),
            up(max(self._owners.next(), now + 1), GUARD_EVERY),
        )

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
        seen = {arn for arn in arns if self.ledger.standing(arn).is_enforced}
        if not seen:
            return
        if self._thrifty:
            accounts = {account_key(arn) for arn in seen}
            self.ledger.looked_at, self._accounts.looked_at = seen, accounts
            self._accounts.were_guarded(accounts, self.clock() - _BEFORE)
            for place in self._places.values():
                place.cloudwatch.looked_at = {arn.instance_id for arn in seen} if self._recalls else ()
        done = self._guard.run(f"guard-{self.clock.seconds}", lambda: True)
        if done.failed:
            raise RuntimeError(f"the guard failed in {done.failed} places")
        for account in self._people.breakers:
            heapq.heappush(self._closings, (next_working_day(self.clock(), BREAKER_CLOSED_AT), account.key))
        self.breakers_opened += len(self._people.breakers)
        self._people.breakers.clear()
        self.ledger.touched |= seen
        self._put_down()

    def _put_back_by_hand(self, arns: Iterable[InstanceArn]) -> None:
        """Owners whose software broke set tokens to optional themselves, where nobody has done so before them."""
        for arn in arns:
            instance = self.instances[arn]
            if instance.requires_tokens and instance.state != "terminated":
                instance.put_back_by_hand()
                if instance.launched_required:
                    self._origins.take_back(instance)

    def _restart(self, arns: Iterable[InstanceArn]) -> None:
        """Owners start machines, as they were told to. What is off is started one day anyway."""
        for arn in arns:
            instance, now = self.instances[arn], self.clock.seconds
            instance.machine = self._owners.start(instance.machine, now)
            self._outlook.learn(instance.machine)
            standing = self.ledger.standing(arn)
            self._revisits.put(arn, self._outlook.next_revisit(arn, standing, now))

    def _say_mended(self, arns: Iterable[InstanceArn]) -> None:
        """Owners say that software was updated when it was started last. The machine is judged at once."""
        for arn in arns:
            if not is_held_by_calls(self.ledger.standing(arn)):
                continue
            start = self.instances[arn].machine.run_at(self.clock.seconds)[0]
            said = {"mended": {"targets": [str(arn)]}, "at": to_text(datetime.fromtimestamp(start, UTC))}
            command = cast("Command", parse({**said, "caller": "the owner", "dry_run": False}))
            (answer,) = self._commands.carry_out(command, f"said-{self.clock.seconds}", lambda: True)["results"]
            assert answer["done"], answer
            self._revisits.put(arn, self.clock.seconds)
            self.ledger.touched.discard(arn)
        self._put_down()

    def _close_breakers(self) -> None:
        while self._closings and self._closings[0][0] <= self.clock.seconds:
            self._accounts.close_breaker(
                heapq.heappop(self._closings)[1], _ON_DUTY, Author(caller=_ON_DUTY), self.clock()
            )

    def _put_down(self) -> None:
        """When what was written has to be looked at again."""
        now, outlook = self.clock.seconds, self._outlook
        self._origins.hear(self.ledger.touched, self.instances, now)
        for arn in self.ledger.touched:
            standing = self.ledger.standing(arn)
            self._owners.hear(self.instances[arn].machine, standing, now)
            revisit_at = outlook.next_revisit(arn, standing, now) if self._thrifty else standing.revisit_at
            self._revisits.put(arn, revisit_at)
            self._returns.put(arn, self._put_back_at(arn))
            if self._guarded:
                self._looks.put(arn, self._next_look(arn, standing, now))
        self.ledger.touched.clear()

    def _put_back_at(self, arn: InstanceArn) -> float | None:
        """When its owner would put it back by hand; None where nothing breaks, or nobody does."""
        instance = self.instances[arn]
        if not instance.requires_tokens or instance.machine.patience is None:
            return None
        failed = instance.machine.calls_between(instance.required_at or 0, END)
        return after_working_hours(failed[0], instance.machine.patience) if failed else None

    def _next_look(self, arn: InstanceArn, standing: Standing, now: float) -> float | None:
        if not standing.is_enforced:
            return None
        return self._outlook.next_look(arn, standing, now) if self._thrifty else now + GUARD_EVERY
