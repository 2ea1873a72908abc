"""A group of instances over days, judged now and then, of whose past the ledger remembers a part: nobody is enforced whom the
datapoints of all, looked at one after the other (tests/unit/plain_cohort.py), would hold. What the service does not ask about again for
a day, by docs/cohorts.md, is left out of what they say against anybody."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from aws_lambda_powertools import Logger
from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.aws.ec2 import parsed
from imdsv2.aws.security_hub import SecurityHub
from imdsv2.domain.cohort import cohort_of
from imdsv2.domain.evidence import strays
from imdsv2.domain.history import History
from imdsv2.domain.instance import Place as Where
from imdsv2.domain.policy import Policy
from imdsv2.domain.request import Source
from imdsv2.domain.verdict import Decision, Verdict
from imdsv2.wiring.service import Edge, assemble
from tests.integration.builders import GATES_OFF, MEMBER, NOW, REGION, SETTINGS, asked
from tests.unit.plain_cohort import Cohort, Sibling, plain_verdict_in
from tests.unit.plain_evidence import start_is_seen
from tests.unit.plain_told import Told
from tests.world import life
from tests.world.clock import Clock
from tests.world.cloudwatch import CloudWatch
from tests.world.dynamodb import Table
from tests.world.ec2 import Ec2, Instance
from tests.world.edge import MemberClients, Place, Sns, Ssm
from tests.world.security_hub import Findings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STALE = timedelta(hours=26)
"""A day and a jitter of ten minutes until somebody is asked about again, and an hour until a cohort is."""
FIELDS: Mapping[str, Any] = {"lookback_days": 3, "min_observed_hours": 14, "min_clean_starts": 2, "max_gap_hours": 6}
TIMES, HOURS = 2, 4
"""By so many hours an isolated call is outweighed."""
WHERE = Where("aws", REGION, MEMBER)
TAGS = {
    "aws:autoscaling:groupName": "mill",
    "aws:ec2launchtemplate:id": "lt-0c2d",
    "aws:ec2launchtemplate:version": "5",
}


class Forgetful(Ec2[Instance]):
    """EC2, which shows what has ended for an hour."""

    def __init__(self, clock: Clock) -> None:
        super().__init__({})
        self._clock = clock

    def _listed(self, filters: Sequence[Mapping[str, Any]], after: str) -> Iterator[Instance]:
        for each in super()._listed(filters, after):
            if each.state != "terminated" or each.stopped_at is None or self._clock() - each.stopped_at < HOUR:
                yield each


class Mill:
    """The group, with what is really known of it."""

    def __init__(self) -> None:
        self.clock = Clock(NOW)
        self.cloudwatch = CloudWatch(self.clock)
        self.ec2 = Forgetful(self.clock)
        self.table = Table()
        self.dark: set[str] = set()
        """Whose datapoints get lost for the time being."""
        self.judged: set[str] = set()

    @property
    def machines(self) -> dict[str, Instance]:
        """All that ever were, by id."""
        return self.ec2.instances

    def alive(self) -> list[str]:
        """Those that can be judged."""
        return [name for name, each in self.machines.items() if each.state != "terminated"]

    def launch(self, ago: timedelta = timedelta()) -> None:
        """One more, perhaps one that has run for a while."""
        name, launched = f"i-{len(self.machines) + 1:017x}", self.clock() - ago
        self.machines[name] = Instance(
            instance_id=name, image="ami-0e5d", launched_at=launched, first_launched_at=launched, tags=dict(TAGS)
        )
        life.run(self.cloudwatch, name, launched, self.clock(), launched)

    def advance(self, hours: float) -> None:
        """What runs reports."""
        start = self.clock()
        self.clock.move(hours=hours)
        for name, each in self.machines.items():
            if each.state == "running" and name not in self.dark:
                life.run(self.cloudwatch, name, start, self.clock(), each.launched_at)

    def act(self, name: str, what: str, number: int) -> None:
        """Something becomes of one of them."""
        machine, now = self.machines[name], self.clock()
        match what, machine.state:
            case "stop", "running":
                machine.stop(now)
            case "start", "stopped":
                machine.start(now)
                life.run(self.cloudwatch, name, now, now, now)
            case "terminate", "running" | "stopped":
                machine.terminate(now)
            case "call", "running":
                for _ in range(number):
                    life.call_without_token(self.cloudwatch, machine, now)
            case "refuse", "running":
                for each in range(number):
                    life.refuse(self.cloudwatch, name, now - each * timedelta(minutes=6))
            case "dark", _:
                self.dark ^= {name}

    def judge(self, names: Collection[str]) -> dict[str, Verdict]:
        """What the service says of some."""
        self.judged |= set(names)
        logger = Logger(service="test")
        edge = Edge(
            clients=cast("Any", MemberClients({(MEMBER, REGION): Place(cast("Any", self.ec2), self.cloudwatch)})),
            dynamodb=self.table.client,
            ssm=cast("Any", Ssm(lambda _: json.dumps(GATES_OFF | {"mode": "observe"} | dict(FIELDS)), lambda _: True)),
            sns=cast("Any", Sns(lambda _: None)),
            hub=SecurityHub(Findings().client, logger),
            now=self.clock.tick,
            logger=logger,
        )
        with patch.multiple(strays, TIMES_THE_HOURS=TIMES, _WEEK_HOURS=HOURS):
            outcomes = assemble(edge, SETTINGS).line.run(
                [asked(WHERE.instance(name), Source.SWEEP) for name in names], "request-1"
            )
        assert {} == outcomes.failed
        return {arn.instance_id: each.verdict for arn, each in outcomes.judged.items()}

    # --- What is really known ------------------------------------------------------------------------------------

    def told(self, name: str, policy: Policy, until: datetime | None = None) -> Told:
        """All that is known of one; of its calls, those up to a time."""
        (target,) = parsed(WHERE, [cast("Any", self.machines[name].shown())])
        if target.state == "terminated":
            stopped_at = self.machines[name].stopped_at
            target = replace(target, state="stopped", stopped_at=stopped_at)
        elif target.state == "stopped":
            target = replace(target, stopped_at=self.machines[name].stopped_at)
        cloudwatch = self.cloudwatch if until is None else quiet_since(self.cloudwatch, until)
        return Told(target=target, history=History(), policy=policy, now=self.clock(), cloudwatch=cloudwatch)

    def may_be_known(self, name: str) -> bool:
        """What was never judged, and ended, is known by the group's activities only; and nobody knows its version, unless it was
        launched after the first that is known of it."""
        living = {each for each, machine in self.machines.items() if machine.state != "terminated"}
        first = min(self.machines[each].launched_at for each in living | self.judged)
        return name in living | self.judged or self.machines[name].launched_at >= first

    def cohort(self, name: str, policy: Policy) -> Cohort:
        """The cohort of one, without what the service need not know yet."""
        own, since = Sibling(told=self.told(name, policy)), self.clock() - DAY * policy.lookback_days
        others: list[Sibling] = []
        for each in self.machines:
            end = self.told(each, policy).end
            if each == name or end <= since - STALE:
                continue
            # What had ended before the window called before it; and what nobody need know holds nobody.
            until = self.clock() - STALE if end > since and self.may_be_known(each) else since - 2 * DAY
            wide = replace(policy, lookback_days=policy.lookback_days + 2)
            told, more = self.told(each, policy, until), self.told(each, wide, until)
            others.append(Known(told=told, is_gone=self.machines[each].state == "terminated", wide=more))
        key = cohort_of(own.told.target)
        assert key is not None
        return Cohort(key=key, members=[own, *others], times=TIMES, hours=HOURS)


@dataclass(frozen=True, kw_only=True)
class Known(Sibling):
    """A member as the service may still know it: as it was up to a day ago. ``wide``: through a longer window."""

    wide: Told

    @property
    def has_changed(self) -> bool:
        """Whether it was started again since."""
        target = self.told.target
        return target.launched_at > self.told.now - STALE and target.launched_at != target.first_launched_at

    @property
    def hours(self) -> int:
        """Those that may have been counted a day ago included."""
        return Sibling(told=self.wide, is_gone=self.is_gone).hours

    @property
    def speaks(self) -> bool:
        """It may have been there a day ago."""
        return self.is_quiet

    @property
    def started(self) -> bool:
        """By the last start or, where that was just now, the one before."""
        return self.has_changed or start_is_seen(self.seen_as)

    @property
    def strays(self) -> int:
        """The same of its calls."""
        few = all(each <= 2 for each in self.used.values()) and all(each == 1 for each in self.refused.values())
        times = len(self.used) + len(self.refused)
        return times * (few and times <= 2) if self.has_changed else super().strays


def quiet_since(cloudwatch: CloudWatch, when: datetime) -> CloudWatch:
    """The same, as if nothing had been called since."""
    other = CloudWatch(cloudwatch.now)
    other.samples = cloudwatch.samples
    for (metric, name), points in cloudwatch.points.items():
        kept = {stamp: value if stamp < when or metric == life.UTILIZATION else 0.0 for stamp, value in points.items()}
        if metric == life.REJECTED:
            kept = {stamp: value for stamp, value in kept.items() if value}
        other.points[metric, name] = kept
    return other


ACTIONS = ("stop", "start", "terminate", "call", "refuse", "dark", "launch", "launch", "none", "none")


@given(st.data())
@settings(max_examples=25)
def test_nobody_is_enforced_whom_the_datapoints_of_all_would_hold(data: st.DataObject) -> None:
    """Whatever they did, in whatever order they were judged, alone or together."""
    mill, policy = Mill(), Policy(**FIELDS)
    for ago in data.draw(st.lists(st.integers(0, 100), min_size=1, max_size=4), label="launched"):
        mill.launch(ago * HOUR)
    for _ in range(data.draw(st.integers(1, 9), label="steps")):
        what = data.draw(st.sampled_from(ACTIONS), label="what")
        if what == "launch":
            mill.launch()
        elif what != "none":
            mill.act(data.draw(st.sampled_from(sorted(mill.machines)), label="who"), what, data.draw(st.integers(1, 3)))
        mill.advance(data.draw(st.sampled_from([0.4, 2, 4, 9, 20, 27, 50]), label="hours"))
        alive = mill.alive()
        names = data.draw(st.lists(st.sampled_from(alive), unique=True), label="judged") if alive else []
        for name, said in mill.judge(names).items():
            if said.decision is Decision.ENFORCE:
                decision, reasons = plain_verdict_in(mill.cohort(name, policy))
                assert decision is Decision.ENFORCE, (name, said, reasons)
