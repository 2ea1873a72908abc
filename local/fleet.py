"""The demo's fleet: an instance for every row of the verdict table, with its past, and the verdict that it has to get.

Times are hours before now; histories hold one datapoint an hour, as CloudWatch keeps them.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from local.cloud import HOME, MEMBERS, SECURITY
from local.findings import instance_arn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import boto3

    from local.cloud import LocalCloud

ELSEWHERE: Final = "us-east-1"
ALPHA, BETA = MEMBERS
SANDBOX: Final = "444444444444"
STRANGER: Final = "555555555555"
HOUR: Final = 3600
DAY: Final = 24
MOST_TAGS: Final = 50
POLICY: Final = {"mode": "enforce", "exclude_accounts": [SANDBOX]}


class Before(StrEnum):
    """What has happened to an instance before its event comes."""

    CHANGED_BACK = "enforced, and made optional again by somebody"
    BROKE = "enforced, and put back because its software broke"
    HELD = "held by somebody"


class Via(StrEnum):
    """What tells the service about an instance."""

    SECURITY_HUB = "Security Hub"
    FOUNDATIONAL = "Security Hub, FSBP"
    CIS = "Security Hub, CIS"
    V2 = "Security Hub v2"
    CONFIG = "Config"
    CONFIG_FORWARDED = "Config, forwarded"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An instance to be launched, and what has to come of it.

    `started` is the last start and `first` the first launch, `stopped` the stop, all in hours ago. `shift` is when in a day it runs,
    `calls` what it asked of IMDSv1 (hours ago: how often); `mute`: it publishes no `MetadataNoToken`. `again` is what a second look
    must say, where that differs. `image` is what it was launched from, by default any.
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
    mute: bool = False
    image: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    happened: Before | None = None
    runs_as: str | None = None
    suppressed: bool = False

    @property
    def is_enforced(self) -> bool:
        """Whether the service has to require tokens."""
        return self.decision == "enforce"

    @property
    def second_verdict(self) -> tuple[str, str]:
        """Decision and reason of a second look at the same instance."""
        return self.again or (("skip", "already_required") if self.is_enforced else (self.decision, self.reason))


@dataclass(frozen=True, kw_only=True)
class Launched:
    """An instance of the fleet that runs on the local AWS."""

    machine: Machine
    instance_id: str

    @property
    def arn(self) -> str:
        """Its ARN."""
        return instance_arn(self.machine.account, self.machine.region, self.instance_id)


def machines() -> tuple[Machine, ...]:
    """The fleet, in the order of the verdict table."""
    held = (*_held_before_evidence(), *_held_by_evidence(), *_held_by_gates_and_ec2(), *_waiting())
    return tuple(map(_with_software, (*_skipped(), *held, *_enforced())))


def canaries() -> tuple[Machine, ...]:
    """Those that were enforced before the others of their cohort were there."""
    first = Machine(
        name="shop-1", story="canary of the shop", account=BETA, runs_as="shop", decision="enforce", reason="unused"
    )
    return (_with_software(first),)


def _with_software(machine: Machine) -> Machine:
    """Each runs software of its own, but where it says otherwise: nobody has to wait for a canary of his cohort."""
    software = hashlib.sha256((machine.runs_as or machine.name).encode()).hexdigest()
    return replace(machine, image=f"ami-{software[:17]}")


def launch(cloud: LocalCloud, fleet: Iterable[Machine]) -> list[Launched]:
    """Launch the fleet and publish its past."""
    launched = [_launch_one(cloud.session(account=each.account, region=each.region), each) for each in fleet]
    _publish(cloud, launched)
    return launched


def _skipped() -> tuple[Machine, ...]:
    return (
        Machine(name="sandbox-1", story="never used", account=SANDBOX, decision="skip", reason="out_of_scope"),
        Machine(
            name="batch-old",
            story="terminated",
            via=Via.CONFIG,
            tags={"local:state": "terminated"},
            decision="skip",
            reason="gone",
        ),
        Machine(
            name="web-modern",
            story="tokens required",
            options={"HttpTokens": "required"},
            decision="skip",
            reason="already_required",
        ),
        Machine(
            name="vault",
            story="endpoint closed",
            options={"HttpEndpoint": "disabled"},
            decision="skip",
            reason="endpoint_disabled",
        ),
        Machine(
            name="legacy-app",
            story="exempt until 2099",
            calls={5: 12},
            tags={"imdsv2:exempt-until": "2099-12-31"},
            decision="skip",
            reason="exempt",
        ),
    )


def _held_before_evidence() -> tuple[Machine, ...]:
    return (
        Machine(name="stranger-1", story="no role to enter", account=STRANGER, decision="hold", reason="unreachable"),
        Machine(
            name="legacy-db",
            story="exempt, but when?",
            tags={"imdsv2:exempt-until": "soon"},
            decision="hold",
            reason="exemption_unreadable",
        ),
        Machine(
            name="web-reopened",
            story="opened again by hand",
            via=Via.CONFIG_FORWARDED,
            happened=Before.CHANGED_BACK,
            decision="hold",
            reason="changed_back",
        ),
        Machine(
            name="blue-batch",
            story="never used, team blue holds it",
            happened=Before.HELD,
            decision="hold",
            reason="held_by_person",
        ),
        Machine(
            name="legacy-agent",
            story="broke when tokens were required",
            via=Via.CONFIG,
            happened=Before.BROKE,
            decision="hold",
            reason="broke_before",
        ),
        Machine(
            name="web-booting",
            story="just starting",
            via=Via.CONFIG,
            tags={"local:state": "pending"},
            decision="hold",
            reason="not_ready",
        ),
        Machine(
            name="edge-7",
            story="metric answer partial",
            tags={"local:metrics": "PartialData"},
            decision="hold",
            reason="evidence_incomplete",
        ),
    )


def _held_by_evidence() -> tuple[Machine, ...]:
    return (
        Machine(
            name="eks-node-1",
            story="40 calls, hop limit 1",
            via=Via.CIS,
            account=BETA,
            calls={3: 40},
            tags={"eks:cluster-name": "prod"},
            decision="hold",
            reason="hop_limit_fallback",
        ),
        Machine(
            name="cron-monthly", story="3 calls, 30 days ago", calls={30 * DAY: 3}, decision="hold", reason="v1_in_use"
        ),
        Machine(
            name="appliance",
            story="4 calls at its start, 60 days ago",
            via=Via.V2,
            started=60 * DAY,
            calls={60 * DAY - 1: 4},
            decision="hold",
            reason="v1_at_boot",
        ),
        Machine(
            name="agentless",
            story="runs, publishes nothing",
            account=BETA,
            region=ELSEWHERE,
            mute=True,
            decision="hold",
            reason="no_evidence",
        ),
        Machine(name="web-new", story="never used, 3 days old", started=3 * DAY, decision="hold", reason="too_young"),
        Machine(
            name="web-restarted",
            story="never used, started minutes ago",
            via=Via.FOUNDATIONAL,
            started=0.4,
            first=80 * DAY,
            decision="hold",
            reason="boot_not_observable",
        ),
    )


def _held_by_gates_and_ec2() -> tuple[Machine, ...]:
    return (
        Machine(
            name="audited",
            story="never used, finding suppressed",
            suppressed=True,
            decision="hold",
            reason="suppressed",
        ),
        Machine(
            name="tag-hoarder",
            story="never used, 50 tags",
            tags={f"cost:{number}": "x" for number in range(MOST_TAGS - 3)},
            decision="hold",
            reason="untaggable",
            again=("enforce", "unused"),
        ),
        Machine(
            name="eks-auto-1",
            story="never used, managed by EKS",
            account=BETA,
            tags={"local:operator": "eks.amazonaws.com"},
            decision="hold",
            reason="managed_elsewhere",
            again=("enforce", "unused"),
        ),
    )


def _waiting() -> tuple[Machine, ...]:
    return (
        Machine(
            name="shop-2",
            story="never used, runs what shop-1 runs",
            account=BETA,
            runs_as="shop",
            decision="hold",
            reason="canary_wait",
        ),
    )


def _enforced() -> tuple[Machine, ...]:
    return (
        Machine(name="web-1", story="never used", decision="enforce", reason="unused"),
        Machine(name="web-2", story="never used", via=Via.FOUNDATIONAL, decision="enforce", reason="unused"),
        Machine(name="web-3", story="never used", via=Via.V2, account=BETA, decision="enforce", reason="unused"),
        Machine(
            name="api-1",
            story="never used",
            via=Via.CONFIG,
            account=BETA,
            region=ELSEWHERE,
            decision="enforce",
            reason="unused",
        ),
        Machine(
            name="api-2",
            story="never used",
            via=Via.CONFIG_FORWARDED,
            region=ELSEWHERE,
            decision="enforce",
            reason="unused",
        ),
        Machine(name="hub-own", story="never used", account=SECURITY, decision="enforce", reason="unused"),
        Machine(
            name="office",
            story="never used, runs by day",
            started=9,
            first=90 * DAY,
            shift=range(8, 20),
            decision="enforce",
            reason="unused",
        ),
        Machine(
            name="migrated",
            story="last used 50 days ago",
            started=80 * DAY,
            calls={50 * DAY: 9},
            decision="enforce",
            reason="unused",
        ),
        Machine(name="parked", story="never used, stopped", stopped=5 * DAY, decision="enforce", reason="unused"),
        Machine(
            name="picky",
            story="never used, wants HttpEndpoint",
            tags={"local:refuse-without-endpoint": "yes"},
            decision="enforce",
            reason="unused",
        ),
    )


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
            each.instance_id: _history({hour: float(each.machine.calls.get(hour, 0)) for hour in _hours(each.machine)})
            for each in here
            if not each.machine.mute
        }
        cloud.history("CPUUtilization", cpu, account=account, region=region)
        cloud.history("MetadataNoToken", calls, account=account, region=region)


def _hours(machine: Machine) -> list[int]:
    """Hours ago in which the machine ran."""
    first = int(machine.first or machine.started)
    last = int(machine.stopped) if machine.stopped else 0
    now = int(time.time())
    return [
        hour
        for hour in range(first, last - 1, -1)
        if (now // HOUR - hour) % DAY in machine.shift or hour <= machine.started < DAY
    ]


def _history(by_hour: Mapping[int, float]) -> list[tuple[int, list[float]]]:
    this_hour = int(time.time()) // HOUR * HOUR
    return [(this_hour - hour * HOUR, [value]) for hour, value in by_hour.items()]


def _iso(hours_ago: float) -> str:
    return f"{datetime.fromtimestamp(time.time() - hours_ago * HOUR, UTC):%Y-%m-%dT%H:%M:%SZ}"
