"""A small world for the walk through the life cycle: a handful of instances whose truth is known, an AWS in memory around
them that obeys its own rules, and a judge who sees every change at the moment at which it is made.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError, ReadTimeoutError

from imdsv2.domain.instance import InstanceArn
from imdsv2.wiring import Edge, Service, assemble
from tests.integration.builders import SETTINGS, TABLE, Clock
from tests.unit.cloudwatch import CloudWatch, hour_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.request import Finding

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ENFORCED_TAG = "imdsv2:enforced-at"
ROLLED_BACK_TAG = "imdsv2:rolled-back-at"
EXEMPT_TAG = "imdsv2:exempt-until"
LOOKBACK = 2 * DAY
OBSERVED_HOURS = 12
COVERAGE = 0.5
WATCH_HOURS = 6
"""Short windows, so that a walk of some dozens of steps goes through whole lives."""
POLICY: Mapping[str, Any] = {
    "mode": "enforce",
    "lookback_days": LOOKBACK.days,
    "min_observed_hours": OBSERVED_HOURS,
    "min_coverage": COVERAGE,
    "watch_hours": WATCH_HOURS,
    "canary": None,
}
CALENDAR = "business-hours"
NEWS = {"mode off", "calendar closes", "suppression"}
"""What a person may decide while a function is at work."""
REGION = "eu-west-1"


class Crash(BaseException):
    """Lambda ends the process: nothing in it can catch that."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens when something is passed for the nth time: a crash, AWS's way of failing, or news."""

    point: str
    kind: str
    countdown: int = 0


@dataclass(slots=True, kw_only=True)
class Machine:
    """One instance, as it really is."""

    arn: InstanceArn
    image: str
    launched_at: datetime
    first_launched_at: datetime
    state: str = "running"
    stopped_at: datetime | None = None
    options: dict[str, Any] = field(
        default_factory=lambda: {"HttpTokens": "optional", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1}
    )
    tags: dict[str, str] = field(default_factory=dict)
    used_at: list[datetime] = field(default_factory=list)
    """When IMDSv1 calls of its software were answered."""
    rejected_at: list[datetime] = field(default_factory=list)
    """When they were refused."""
    left: dict[str, Any] | None = None
    """The options as the service left them, where it has changed them."""
    standing: bool = False
    """An enforcement that the service finished, and no person has cleared."""
    held: bool = False
    """It was put back, and no person has cleared that."""

    def shown(self) -> dict[str, Any]:
        """The instance in the words of DescribeInstances."""
        reason = f"User initiated ({self.stopped_at:%Y-%m-%d %H:%M:%S} GMT)" if self.stopped_at else ""
        return {
            "InstanceId": self.arn.instance_id,
            "State": {"Name": self.state},
            "LaunchTime": self.launched_at,
            "ImageId": self.image,
            "StateTransitionReason": reason,
            "NetworkInterfaces": [{"Attachment": {"DeviceIndex": 0, "AttachTime": self.first_launched_at}}],
            "MetadataOptions": {**self.options, "State": "applied"},
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
        }


@dataclass(slots=True, kw_only=True)
class Run:
    """What is being run at the moment: who asked, and what a person clears with it."""

    by_person: bool = False
    clears: frozenset[InstanceArn] = frozenset()


class World:
    """The accounts, what is in them, the service's ledger and policy, and everything that was wrong about a change."""

    def __init__(self, dynamodb: DynamoDBClient, wrong: list[str]) -> None:
        self.dynamodb = dynamodb
        self.wrong = wrong
        self.clock = Clock()
        self.machines: dict[InstanceArn, Machine] = {}
        self.metrics: dict[str, CloudWatch] = {}
        self.policy: dict[str, Any] = dict(POLICY)
        self.policy_text: str | None = None
        self.calendar_open = True
        self.closed: set[str] = set()
        self.suppressed: set[InstanceArn] = set()
        self.fault: Fault | None = None
        self.faulted = False
        self.run = Run()
        self.enforcements: list[tuple[str, datetime]] = []
        self.notes: set[str] = set()
        self.told: dict[InstanceArn, datetime] = {}
        self.approved: dict[InstanceArn, datetime] = {}
        self.changed: set[InstanceArn] = set()

    def complain(self, text: str) -> None:
        """Something that must never happen has happened."""
        self.wrong.append(f"{self.clock():%d %H:%M:%S} {text}")

    def passing(self, point: str) -> None:
        """The service passes a point at which something may go wrong."""
        fault = self.fault
        if fault is None or fault.point != point:
            return
        if fault.countdown:
            fault.countdown -= 1
            return
        self.fault, self.faulted = None, fault.kind not in NEWS
        match fault.kind:
            case "mode off" | "calendar closes" | "suppression":
                self.clock.move(seconds=30)  # By then everybody has to have heard of it.
                self._turn(fault.kind)
            case "crash":
                raise Crash(point)
            case "unanswered":
                raise ReadTimeoutError(endpoint_url="https://aws.example")
            case code:
                raise refusal(code, point)

    def _turn(self, news: str) -> None:
        match news:
            case "mode off":
                self.policy = {**self.policy, "mode": "off"}
            case "calendar closes":
                self.calendar_open = False
            case _:
                self.suppressed |= set(self.machines)

    # --- Life ----------------------------------------------------------------------------------------------------

    def launch(self, account: str, number: int, image: str) -> InstanceArn:
        """An instance that has run for ten days, and never called IMDSv1."""
        arn = InstanceArn.of(region=REGION, account=account, instance_id=f"i-{number:017x}")
        launched = self.clock() - 10 * DAY
        self.machines[arn] = Machine(arn=arn, image=image, launched_at=launched, first_launched_at=launched)
        self.metrics.setdefault(account, CloudWatch(now=self.clock()))
        self._live(self.machines[arn], launched, self.clock())
        return arn

    def advance(self, by: timedelta) -> None:
        """Time passes; what runs reports every hour."""
        start = self.clock()
        self.clock.time += by
        for machine in self.machines.values():
            if machine.state == "running":
                self._live(machine, start, self.clock())
        for metrics in self.metrics.values():
            metrics.now = self.clock()

    def _live(self, machine: Machine, start: datetime, end: datetime) -> None:
        metrics, hour = self.metrics[machine.arn.account], hour_of(max(start, end - 20 * DAY))
        while hour <= end:
            metrics.put("CPUUtilization", machine.arn.instance_id, hour, 2.5)
            if hour not in metrics.points.get(("MetadataNoToken", machine.arn.instance_id), {}):
                metrics.put("MetadataNoToken", machine.arn.instance_id, hour, 0.0)
            hour += HOUR

    def call(self, arn: InstanceArn) -> None:
        """Its software calls IMDSv1, and is answered or refused as its options say."""
        machine, now = self.machines[arn], self.clock()
        if machine.state != "running" or machine.options["HttpEndpoint"] != "enabled":
            return
        if machine.options["HttpTokens"] == "optional":
            machine.used_at.append(now)
            self.metrics[arn.account].add("MetadataNoToken", arn.instance_id, hour_of(now), 1.0)
        else:
            machine.rejected_at.append(now)
            minute = now.replace(second=0, microsecond=0)
            self.metrics[arn.account].add("MetadataNoTokenRejected", arn.instance_id, minute, 1.0)

    def stop(self, arn: InstanceArn) -> None:
        """It stops."""
        self.machines[arn].state, self.machines[arn].stopped_at = "stopped", self.clock()

    def start(self, arn: InstanceArn) -> None:
        """It starts, or starts again."""
        machine = self.machines[arn]
        machine.state, machine.stopped_at, machine.launched_at = "running", None, self.clock()
        self._live(machine, self.clock(), self.clock())

    # --- The service ---------------------------------------------------------------------------------------------

    def function(self) -> Service:
        """Another function instance: nothing shared but the AWS it meets."""
        edge = Edge(
            members=cast("Any", Members(self)),
            dynamodb=self.dynamodb,
            ssm=cast("Any", Ssm(self)),
            sns=cast("Any", Sns(self)),
            hub=cast("Any", Hub(self)),
            now=self.clock.tick,
            logger=cast("Any", Log(self)),
        )
        return assemble(edge, SETTINGS)

    def current(self, arn: InstanceArn) -> dict[str, Any]:
        """The `current` item of an instance; empty where there is none."""
        key = {"pk": {"S": str(arn)}, "sk": {"S": "current"}}
        return _decoded(self.dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=True).get("Item", {}))

    def history(self, arn: InstanceArn) -> list[str]:
        """The statuses through which an instance has gone."""
        found = self.dynamodb.query(
            TableName=TABLE,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": str(arn)}},
        )["Items"]
        events = [_decoded(each) for each in found if each["sk"]["S"].startswith("event#")]
        return [str(each["status"]) for each in sorted(events, key=lambda each: str(each["sk"]))]

    # --- The judge -----------------------------------------------------------------------------------------------

    def judge_enforcement(self, machine: Machine, role: str, sent: Mapping[str, Any]) -> None:
        """Everything that has to be true at the moment at which tokens are required."""
        item, now, name = self.current(machine.arn), self.clock(), machine.arn.instance_id
        cleared = machine.arn in self.run.clears
        sum_of_hour = sum(account == machine.arn.account and now - when < HOUR for account, when in self.enforcements)
        never = {
            "by another role": role != "write",
            "with another option": dict(sent) != {"HttpTokens": "required"},
            "not written ahead": item.get("status") != "enforcing",
            "outside a lease": not item.get("lease_until") or datetime.fromisoformat(item["lease_until"]) <= now,
            "without what was there before": _plain(item.get("before")) != machine.options,
            "without its tag": ENFORCED_TAG not in machine.tags,
            "while off": self.policy["mode"] == "off",
            "while observing": self.policy["mode"] == "observe" and not self.run.by_person,
            "without a readable policy": self.policy_text is not None,
            "what was closed": machine.options["HttpEndpoint"] != "enabled",
            "what is exempt": machine.tags.get(EXEMPT_TAG, "") >= f"{now:%Y-%m-%d}",
            "what a person holds": _in_force(item.get("hold"), now),
            "what broke before": machine.held and not cleared,
            "a second time": machine.standing and not cleared,
            "while a finding is suppressed": machine.arn in self.suppressed,
            "while the calendar is closed": self.policy.get("change_calendar") is not None and not self.calendar_open,
            "without approval": self.policy.get("approval") == "required"
            and now >= self.approved.get(machine.arn, now),
            "while the breaker is open": self._breaker(machine.arn.account) is not None,
            "above the cap": sum_of_hour >= self.policy.get("max_enforcements_per_hour", 50),
            "although a cohort of its broke": self.policy["canary"] is not None and self._broken_beside(machine),
            "untold": self._untold(machine.arn),
            **self._evidence_against(machine),
        }
        for what, is_so in never.items():
            if is_so:
                self.complain(f"{name} was enforced {what}")
        self.approved.pop(machine.arn, None)
        self.told.pop(machine.arn, None)
        self.changed.add(machine.arn)
        self.enforcements.append((machine.arn.account, now))

    def _evidence_against(self, machine: Machine) -> dict[str, bool]:
        """What a perfect witness knows against the change."""
        end = machine.stopped_at or self.clock()
        start = max(end - LOOKBACK, machine.first_launched_at)
        metrics, name = self.metrics[machine.arn.account], machine.arn.instance_id
        seen = metrics.points.get(("MetadataNoToken", name), {})
        observed = sum(start <= hour and hour + HOUR <= end for hour in seen)
        first_whole = hour_of(machine.launched_at + HOUR - timedelta(microseconds=1))
        return {
            "although IMDSv1 is used": any(when >= start for when in machine.used_at),
            "although IMDSv1 is used at its start": any(
                machine.launched_at <= when < machine.launched_at + HOUR for when in machine.used_at
            ),
            "on evidence that is not complete": metrics.statuses.get(("MetadataNoToken", name)) is not None,
            "on too few hours": observed < OBSERVED_HOURS,
            "without a start that was observed": first_whole not in seen or first_whole + HOUR > self.clock(),
        }

    def _untold(self, arn: InstanceArn) -> bool:
        hours = self.policy.get("notice_hours", 0)
        return hours > 0 and (arn not in self.told or self.clock() - self.told[arn] < timedelta(hours=hours))

    def _broken_beside(self, machine: Machine) -> bool:
        """Whether what runs the same software in the same account broke."""
        cohort = [each for each in self.machines.values() if each.image == machine.image]
        return any(
            each.held and "broken_at" in self.current(each.arn)
            for each in cohort
            if each.arn.account == machine.arn.account and each.arn not in self.run.clears
        )

    def _breaker(self, account: str) -> str | None:
        key = {"pk": {"S": "accounts"}, "sk": {"S": f"aws/{account}"}}
        item = self.dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=True).get("Item", {})
        return cast("str | None", _decoded(item).get("breaker_opened_at"))

    def judge_return(self, machine: Machine, role: str, sent: Mapping[str, Any]) -> None:
        """Everything that has to be true at the moment at which tokens are made optional again."""
        item, now, name = self.current(machine.arn), self.clock(), machine.arn.instance_id
        undone = item.get("undo") is not None
        never = {
            "by another role": role != "rollback",
            "with another option": dict(sent) != {"HttpTokens": "optional"},
            "not written ahead": item.get("status") != "rolling_back",
            "outside a lease": not item.get("lease_until") or datetime.fromisoformat(item["lease_until"]) <= now,
            "without what was there before": "optional" != (_plain(item.get("before")) or {}).get("HttpTokens"),
            "though it was not ours": machine.left is None or not item.get("confirmed"),
            "though somebody has changed it since": machine.left is not None and machine.options != machine.left,
            "though nothing was refused": not undone and not self._refused_since(machine, item),
        }
        for what, is_so in never.items():
            if is_so:
                self.complain(f"{name} was opened {what}")

    def _refused_since(self, machine: Machine, item: Mapping[str, Any]) -> bool:
        since = datetime.fromisoformat(item["enforced_at"]) - timedelta(minutes=5)
        return any(when >= since for when in machine.rejected_at)


def refusal(code: str, operation: str, message: str = "no") -> ClientError:
    """AWS's refusal of a call."""
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, operation)


class Members:
    """The way into the accounts."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ec2(self, there: Any, role: str) -> Ec2:
        """EC2 in an account, unless its roles are gone."""
        if there.account in self._world.closed:
            self._world.faulted = True
            raise refusal("AccessDenied", "AssumeRole")
        return Ec2(self._world, there.account, role)

    def cloudwatch(self, there: Any) -> CloudWatch:
        """CloudWatch in an account."""
        return self._world.metrics[there.account]

    def session_name(self, there: Any, role: str) -> str:
        """The name of the session."""
        return "session"


class Ec2:
    """EC2 in one account, through one role, with what the role's policy allows."""

    def __init__(self, world: World, account: str, role: str) -> None:
        self._world, self._account, self._role = world, account, role

    def _machines(self) -> dict[str, Machine]:
        return {
            arn.instance_id: each
            for arn, each in self._world.machines.items()
            if arn.account == self._account and each.state != "gone"
        }

    def describe_instances(self, InstanceIds: list[str] | None = None, **_: Any) -> dict[str, Any]:  # noqa: N803 - AWS's names
        """Those named, or those that run and allow IMDSv1, which is all that is ever asked for by filters here."""
        self._world.passing("describe")
        known = self._machines()
        unknown = [each for each in InstanceIds or () if each not in known]
        if unknown:
            raise refusal(
                "InvalidInstanceID.NotFound",
                "DescribeInstances",
                f"The instance IDs '{', '.join(unknown)}' do not exist",
            )
        chosen = (
            [known[each] for each in InstanceIds]
            if InstanceIds is not None
            else [
                each for each in known.values() if each.state == "running" and each.options["HttpTokens"] == "optional"
            ]
        )
        return {"Reservations": [{"Instances": [each.shown() for each in chosen]}]}

    def create_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:  # noqa: N803
        """Tag instances, with the keys of the role's own only."""
        self._world.passing("tag")
        mine = {"write": {ENFORCED_TAG, ROLLED_BACK_TAG}, "rollback": {ROLLED_BACK_TAG}}.get(self._role, set())
        for tag in Tags:
            if tag["Key"] not in mine:
                self._world.complain(f"tag {tag['Key']} written by role {self._role}")
            for each in Resources:
                self._machines()[each].tags[tag["Key"]] = tag["Value"]
        self._world.passing("tagged")

    def delete_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:  # noqa: N803
        """Remove tags."""
        self._world.passing("untag")
        for tag in Tags:
            for each in Resources:
                self._machines()[each].tags.pop(tag["Key"], None)

    def modify_instance_metadata_options(self, InstanceId: str, DryRun: bool = False, **sent: Any) -> None:  # noqa: N803
        """Change what is sent, and have the judge look at it first."""
        if DryRun:
            raise refusal("DryRunOperation", "ModifyInstanceMetadataOptions")
        self._world.passing("modify")
        machine = self._machines()[InstanceId]
        if self._role == "rollback" and ENFORCED_TAG not in machine.tags:
            raise refusal("UnauthorizedOperation", "ModifyInstanceMetadataOptions")
        if sent.get("HttpTokens") == "optional":
            self._world.judge_return(machine, self._role, sent)
            machine.options |= sent
            machine.held, machine.standing = True, False
        else:
            self._world.judge_enforcement(machine, self._role, sent)
            machine.options |= sent
            machine.left = dict(machine.options)
        self._world.passing("modified")


class Hub:
    """Security Hub: which instances have a suppressed finding, and which findings bear a note."""

    def __init__(self, world: World) -> None:
        self._world = world

    def suppressed(self, findings: Mapping[InstanceArn, Iterable[Finding]]) -> dict[InstanceArn, str]:
        """Those of which a finding is suppressed."""
        return {arn: "A finding of it is suppressed." for arn in findings if arn in self._world.suppressed}

    def annotate(self, findings: Mapping[Finding, str], text: str, *, workflow: bool) -> set[Finding]:
        """Write a note."""
        try:
            self._world.passing("annotate")
        except ClientError:
            return set()
        self._world.notes |= {each.id for each in findings}
        return set(findings)


class Sns:
    """The topic."""

    def __init__(self, world: World) -> None:
        self._world = world

    def publish(self, **message: Any) -> None:
        """Remember whom a notice has reached."""
        self._world.passing("publish")
        if message["MessageAttributes"]["reason"]["StringValue"] == "notice_given":
            named = [arn for arn in self._world.machines if str(arn) in message["Message"]]
            for arn in named:
                self._world.told.setdefault(arn, self._world.clock())


class Ssm:
    """The policy, and the change calendar."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get_parameter(self, Name: str) -> dict[str, Any]:  # noqa: N803
        """The policy as it stands."""
        text = self._world.policy_text
        return {"Parameter": {"Value": json.dumps(self._world.policy) if text is None else text}}

    def get_calendar_state(self, CalendarNames: list[str]) -> dict[str, Any]:  # noqa: N803
        """Open or closed."""
        assert [CALENDAR] == CalendarNames
        return {"State": "OPEN" if self._world.calendar_open else "CLOSED"}


class Log:
    """Takes what is logged; an exception that nobody meant is wrong."""

    def __init__(self, world: World) -> None:
        self._world = world

    def exception(self, message: str, **_: Any) -> None:
        """A group or a place failed: only AWS may make it."""
        error = sys.exc_info()[1]
        if not (self._world.faulted and isinstance(error, ClientError | ReadTimeoutError)):
            self._world.complain(f"{message}: {error!r}")

    def warning(self, message: str, **_: Any) -> None:
        """Expected trouble."""

    error = info = warning


class SerialPool:
    """One thing after the other, in the order in which they were asked for, so that a walk can be walked again."""

    def __init__(self, _: int = 1) -> None:
        """As many workers as wanted, all of them this one."""

    def __enter__(self) -> SerialPool:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Like the real one's."""
        return [work(each) for each in items]


def _decoded(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def _plain(document: Any) -> Any:
    """Options as EC2 has them, from the ledger's numbers."""
    return (
        {name: int(each) if name.endswith("Limit") else each for name, each in document.items()} if document else None
    )


def _in_force(hold: Mapping[str, Any] | None, now: datetime) -> bool:
    return hold is not None and str(hold["until"]) >= f"{now.astimezone(UTC):%Y-%m-%d}"
