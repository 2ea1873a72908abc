"""The fleet of a run and the time that passes over it: instances, what their software calls, and what people do to them."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.fixtures.events import finding
from tests.proof.faults.aws import Aws
from tests.proof.faults.clients import REGION
from tests.proof.faults.injector import Injector
from tests.proof.invariants import End, Seen, Told, of_accounts, plain
from tests.world import life
from tests.world.clock import Clock
from tests.world.ec2 import Instance

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 20, 12, 2, 30, tzinfo=UTC)
AGE = timedelta(days=10)
FIRST, SECOND = "222222222222", "333333333333"
POLICY: Mapping[str, Any] = {
    "mode": "enforce",
    "lookback_days": 2,
    "min_observed_hours": 12,
    "min_coverage": 0.5,
    "watch_hours": 6,
    "canary": None,
    "digest": "off",
}

_present: list[Fleet] = []
"""The fleet of the present run."""


def sleep(seconds: float) -> None:
    """What waits, waits on the clock of the present run."""
    if _present:
        _present[-1].clock.move(seconds=seconds)


class Fleet:
    """An AWS with its clock, and the means to bring about what happens in it."""

    def __init__(self, **policy: Any) -> None:
        random.seed(1)
        self.clock = Clock(NOW)
        self.aws = Aws(self.clock)
        self.aws.policy = {**POLICY, **policy}
        self.injector = Injector(self.clock, self.aws.do, self.aws.do_stale)
        self.queue: list[tuple[int, str]] = []
        """Deliveries so far, and body of each message."""
        self.lost: list[str] = []
        self.failed = 0
        """Messages that came back, invocations that raised, and places that failed, until now."""
        self.left_broken = 0
        self.opened_by_others: set[str] = set()
        self.breaks: set[str] = set()
        """Instances whose software calls IMDSv1 a minute after tokens are required, and again six minutes later."""
        self.begun = NOW
        self._refusals: list[tuple[datetime, str]] = []
        _present[:] = [self]

    def launch(self, account: str, number: int, *, found: bool = True) -> str:
        """An instance that has run for ten days and never called IMDSv1; returns its ARN. ``found``: Security Hub knows."""
        ec2, metrics = self.aws.account(account)
        name, launched = f"i-{account[0]}{number:016x}", self.clock() - AGE
        tags = {"aws:autoscaling:groupName": "web"} if account == FIRST else {}
        ec2.instances[name] = Instance(
            instance_id=name, image="ami-1", launched_at=launched, first_launched_at=launched, tags=tags
        )
        life.run(metrics, name, launched, self.clock(), launched)
        arn = f"arn:aws:ec2:{REGION}:{account}:instance/{name}"
        if found:
            self.aws.findings.holds(finding(arn))
        return arn

    def instance(self, arn: str) -> Instance:
        """An instance as it really is."""
        return self.aws.ec2[arn.split(":")[4]].instances[arn.rpartition("/")[2]]

    def will_call(self, arn: str, *minutes: float) -> None:
        """Its software calls IMDSv1 in so many minutes, whatever is asked of callers then."""
        self._refusals += [(self.clock() + timedelta(minutes=each), arn) for each in minutes]

    def advance(self, minutes: float) -> None:
        """Time passes; what runs reports, and what calls is answered or refused."""
        start, end = self.clock(), self.clock() + timedelta(minutes=minutes)
        for effect in self.aws.effects:
            if effect.enforces and effect.arn in self.breaks:
                self.breaks.discard(effect.arn)
                self._refusals += [(effect.at + timedelta(minutes=each), effect.arn) for each in (1, 7)]
        for when, arn in sorted(each for each in self._refusals if each[0] <= end):
            life.call_without_token(self.aws.cloudwatch[arn.split(":")[4]], self.instance(arn), when)
        self._refusals = [each for each in self._refusals if each[0] > end]
        self.clock.time = max(self.clock(), end)
        for account, ec2 in self.aws.ec2.items():
            for name, each in ec2.instances.items():
                if each.state == "running":
                    life.run(self.aws.cloudwatch[account], name, start, self.clock(), each.launched_at)

    def open(self, arn: str) -> None:
        """Somebody makes tokens optional."""
        self.instance(arn).options["HttpTokens"] = "optional"
        self.opened_by_others.add(arn)

    def terminate(self, arn: str) -> None:
        """Its user terminates it, and EC2 forgets it."""
        self.aws.ec2[arn.split(":")[4]].instances.pop(arn.rpartition("/")[2])

    def status(self, arn: str) -> str | None:
        """The status of an instance in the ledger."""
        status: str | None = self.aws.item(arn).get("status", {}).get("S")
        return status

    # --- Saved and restored --------------------------------------------------------------------------------------------

    def save(self) -> Saved:
        """The world as it stands, to begin from again and again."""
        aws = self.aws
        return Saved(
            time=self.clock(),
            instances={account: copy.deepcopy(ec2.instances) for account, ec2 in aws.ec2.items()},
            points={
                account: {key: dict(points) for key, points in each.points.items()}
                for account, each in aws.cloudwatch.items()
            },
            items=dict(aws.table.items),
            findings=copy.deepcopy(aws.findings.findings),
            files=dict(aws.files),
            rest=copy.deepcopy((aws.policy, aws.calendar_open, aws.published, aws.buried, aws.effects, aws.templates)),
            own=copy.deepcopy((self.queue, self.breaks, self.opened_by_others, self._refusals)),
        )

    def load(self, saved: Saved) -> None:
        """Begin from a saved world, in new functions."""
        random.seed(1)
        aws = self.aws
        self.begun = self.clock.time = saved.time
        for account, instances in saved.instances.items():
            ec2, metrics = aws.account(account)
            ec2.instances = copy.deepcopy(instances)
            metrics.points = {key: dict(points) for key, points in saved.points[account].items()}
            metrics.samples.clear()
        aws.table.items = dict(saved.items)
        aws.findings.findings = copy.deepcopy(saved.findings)
        aws.policy, aws.calendar_open, aws.published, aws.buried, aws.effects, aws.templates = copy.deepcopy(saved.rest)
        aws.files = dict(saved.files)
        self.queue, self.breaks, self.opened_by_others, self._refusals = copy.deepcopy(saved.own)
        self.failed = self.left_broken = 0

    # --- The end -----------------------------------------------------------------------------------------------------

    def end(self, *, may_repeat: bool) -> End:
        """The world as the invariants look at it."""
        instances = [
            Seen(
                arn=arn,
                options=each.options,
                tags=each.tags,
                item=plain(self.aws.item(arn)),
                notes=[
                    known.get("note", known.get("comment"))
                    for finding_id, known in self.aws.findings.findings.items()
                    if finding_id.endswith(name[-12:]) and account in finding_id
                ],
            )
            for account, ec2 in self.aws.ec2.items()
            for name, each in ec2.instances.items()
            for arn in [f"arn:aws:ec2:{REGION}:{account}:instance/{name}"]
        ]
        return End(
            instances=instances,
            accounts=of_accounts(self.aws.table.items.values()),
            published=[
                Told(at=when, subject=each["Subject"], text=each["Message"]) for when, each in self.aws.published
            ],
            notice=timedelta(hours=self.aws.policy.get("notice_hours", 0)),
            effects=self.aws.effects,
            complaints=self.aws.complaints,
            undelivered=self.lost,
            may_repeat=may_repeat,
            opened_by_others=frozenset(self.opened_by_others),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A world at one moment."""

    time: datetime
    instances: Mapping[str, dict[str, Instance]]
    points: Mapping[str, dict[tuple[str, str], dict[datetime, float]]]
    items: dict[tuple[str, str], Any]
    findings: dict[str, dict[str, Any]]
    files: Mapping[str, bytes]
    rest: Any
    own: Any
