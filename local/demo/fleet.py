"""The demo's fleet: an instance for every row of the verdict table, with its past and the expected verdict.

Times are hours before now; histories hold one datapoint an hour, and one every five minutes around a start of the last 63 days.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from local.cloud.findings import instance_arn
from local.cloud.run import HOME, MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import boto3

    from local.cloud.run import LocalCloud

ELSEWHERE: Final = "us-east-1"
ALPHA, BETA = MEMBERS
SANDBOX: Final = "444444444444"
STRANGER: Final = "555555555555"
HOUR: Final = 3600
DAY: Final = 24
FINE: Final = 300
FINE_DAYS: Final = 63
"""For so long CloudWatch keeps datapoints of five minutes."""
MOST_TAGS: Final = 50
SSM_TAG: Final = "local:ssm"
"""Systems Manager knows instances with this tag."""
POLICY: Final = {"mode": "enforce", "exclude_accounts": [SANDBOX]}


class Before(StrEnum):
    """What happened to an instance before its event arrives."""

    CHANGED_BACK = "enforced, and made optional again by somebody"
    BROKE = "enforced, and put back because its software broke"
    HELD = "held by somebody"
    UNDONE = "enforced, and put back for a person"


class Via(StrEnum):
    """What reports an instance to the service."""

    SECURITY_HUB = "Security Hub"
    FOUNDATIONAL = "Security Hub, FSBP"
    CIS = "Security Hub, CIS"
    V2 = "Security Hub v2"
    CONFIG = "Config"
    CONFIG_FORWARDED = "Config, forwarded"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An instance to launch, and the expected verdict.

    `started` is the last start and `first` the first launch, `stopped` the stop, all in hours ago. `shift` is when in a day it runs,
    `calls` what it asked of IMDSv1 (hours ago: how often), `refused` what was refused; `gap`: hours ago without `MetadataNoToken`;
    `mute`: it publishes none. `again` is what a second look
    must say, where that differs. `image` is what it was launched from, by default any. `runs` is the file of software that calls IMDSv1 while
    the demo has the instance watched.
    """

    name: str
    story: str
    decision: str
    reason: str
    again: tuple[str, str] | None = None
    via: Via = Via.SECURITY_HUB
    account: str = ALPHA
    region: str = HOME
    started: float = 40 * DAY
    first: float | None = None
    stopped: float | None = None
    shift: range = range(DAY)
    calls: Mapping[int, int] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    gap: range = range(0)
    mute: bool = False
    image: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    happened: Before | None = None
    runs_as: str | None = None
    suppressed: bool = False
    runs: str | None = None

    @property
    def is_enforced(self) -> bool:
        """Whether the service is expected to require tokens."""
        return self.decision == "enforce"

    @property
    def second_verdict(self) -> tuple[str, str]:
        """Expected decision and reason of a second evaluation of the same instance."""
        return self.again or (("skip", "already_required") if self.is_enforced else (self.decision, self.reason))


@dataclass(frozen=True, kw_only=True)
class Launched:
    """An instance of the fleet after its launch on the local AWS."""

    machine: Machine
    instance_id: str

    @property
    def arn(self) -> str:
        """The ARN of the instance."""
        return instance_arn(self.machine.account, self.machine.region, self.instance_id)


def launch(cloud: LocalCloud, fleet: Iterable[Machine]) -> list[Launched]:
    """Launch the fleet and publish its past."""
    launched = [_launch_one(cloud.session(account=each.account, region=each.region), each) for each in fleet]
    _publish(cloud, launched)
    return launched


def _launch_one(session: boto3.Session, machine: Machine) -> Launched:
    ec2 = session.client("ec2")
    image = machine.image or ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    tags = {
        "Name": machine.name,
        "local:launched-at": _iso(machine.started),
        "local:first-launched-at": _iso(machine.first or machine.started),
        **({"local:stopped-at": _iso(machine.stopped)} if machine.stopped else {}),
        **machine.tags,
    }
    [instance] = ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        InstanceType="t3.micro",
        MetadataOptions=dict(machine.options),  # type: ignore[arg-type]
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )["Instances"]
    return Launched(machine=machine, instance_id=instance["InstanceId"])


def _publish(cloud: LocalCloud, launched: list[Launched]) -> None:
    for account, region in sorted({(each.machine.account, each.machine.region) for each in launched}):
        here = [each for each in launched if (each.machine.account, each.machine.region) == (account, region)]
        cpu = {each.instance_id: _history(dict.fromkeys(_hours(each.machine), 5.0)) for each in here}
        calls = {
            each.instance_id: _history(
                {
                    hour: float(each.machine.calls.get(hour, 0))
                    for hour in _hours(each.machine)
                    if hour not in each.machine.gap
                }
            )
            for each in here
            if not each.machine.mute
        }
        refused = {
            each.instance_id: _history({hour: float(count) for hour, count in each.machine.refused.items()})
            for each in here
        }
        starts = {each.instance_id: [_start(each.machine)] for each in here if each.machine.started < FINE_DAYS * DAY}
        shown = {instance: runs for instance, runs in starts.items() if instance in calls}
        cloud.history("CPUUtilization", cpu, account=account, region=region)
        cloud.history("MetadataNoToken", calls, account=account, region=region)
        cloud.history(
            "MetadataNoTokenRejected",
            {each: runs for each, runs in refused.items() if runs},
            account=account,
            region=region,
        )
        cloud.history("MetadataNoToken", shown, account=account, region=region, period=FINE)


def _hours(machine: Machine) -> list[int]:
    """The hours (counted back from now) in which the machine ran."""
    first = int(machine.first or machine.started)
    last = int(machine.stopped) if machine.stopped else 0
    now = int(time.time())
    return [
        hour
        for hour in range(first, last - 1, -1)
        if (now // HOUR - hour) % DAY in machine.shift or hour <= machine.started < DAY
    ]


def _start(machine: Machine) -> tuple[int, list[float]]:
    """Its last start as CloudWatch keeps it for 63 days: a datapoint every five minutes, for two hours at most."""
    started = int(time.time() - machine.started * HOUR)
    end = min(started + 2 * HOUR, int(time.time() - (machine.stopped or 0) * HOUR))
    first = started // FINE * FINE
    return first, [0.0] * ((end - first) // FINE)


def _history(by_hour: Mapping[int, float]) -> list[tuple[int, list[float]]]:
    this_hour = int(time.time()) // HOUR * HOUR
    return [(this_hour - hour * HOUR, [value]) for hour, value in by_hour.items()]


def _iso(hours_ago: float) -> str:
    return f"{datetime.fromtimestamp(time.time() - hours_ago * HOUR, UTC):%Y-%m-%dT%H:%M:%SZ}"
