"""The world of the walk: a handful of instances whose truth is known, in an AWS in memory that obeys its own rules."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ReadTimeoutError

from imdsv2.aws.errors import IN_DOUBT
from imdsv2.aws.security_hub import SecurityHub
from imdsv2.domain.instance import InstanceArn
from imdsv2.wiring.service import Edge, Service, assemble
from tests.integration.builders import NOW, REGION, SETTINGS, TABLE
from tests.integration.walk.faults import NEWS, Crash, Failing, Fault, Part
from tests.integration.walk.judge import Judge
from tests.integration.walk.machine import PRODUCT, Machine, finding_id
from tests.integration.walk.policy import CALENDAR, POLICY
from tests.integration.walk.watched import Log, WatchedFindings, WatchedMembers
from tests.world import life
from tests.world.clock import Clock
from tests.world.cloudwatch import CloudWatch
from tests.world.ec2 import Ec2
from tests.world.edge import Place, Sns, Ssm
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

AGE = timedelta(days=10)
SHOWN_AFTER = timedelta(hours=2)
"""How late CloudWatch may be."""


@dataclass(slots=True, kw_only=True)
class Run:
    """What is being run at the moment: who asked, and what a person clears, accepts, or says to be mended, and since when."""

    by_person: bool = False
    clears: frozenset[InstanceArn] = frozenset()
    accepts: frozenset[InstanceArn] = frozenset()
    mended: Mapping[InstanceArn, datetime] = field(default_factory=dict)


class World:
    """The accounts, what is in them, the service's ledger and policy, and everything that was wrong about a change."""

    def __init__(self, dynamodb: DynamoDBClient, wrong: list[str]) -> None:
        self.dynamodb = dynamodb
        self.wrong = wrong
        self.clock = Clock(NOW)
        self.machines: dict[InstanceArn, Machine] = {}
        self.places: dict[tuple[str, str], Place[CloudWatch]] = {}
        self.members = WatchedMembers(self)
        self.findings = WatchedFindings(self)
        self.judge = Judge(self)
        self.policy: dict[str, Any] = dict(POLICY)
        self.policy_text: str | None = None
        """What stands in the policy's place, where somebody has written what is none."""
        self.calendar_open = True
        self.fault: Fault | None = None
        self.lost: Fault | None = None
        """The answer that gets lost next."""
        self.failing: Failing | None = None
        self.lag = timedelta()
        """For how long EC2 shows the state before a change."""
        self.heard: dict[InstanceArn, datetime] = {}
        """When people last heard of an instance."""
        self.returned: defaultdict[InstanceArn, set[str]] = defaultdict(set)
        """The enforcements that the guard has ended by putting an instance back; more than once where somebody has required tokens
        again before EC2 showed that."""
        self.faulted = False
        self.run = Run()
        self.told: dict[InstanceArn, datetime] = {}
        self.late: list[tuple[InstanceArn, datetime]] = []
        """Refused calls that CloudWatch does not show yet."""
        self.asked_of: dict[InstanceArn, list[datetime]] = {}
        """Boots besides the last start, or what people say were some: the periods of five minutes after them are known as well."""
        self.approved: dict[InstanceArn, datetime] = {}
        self.changed: set[InstanceArn] = set()

    def complain(self, text: str) -> None:
        """Something that must never happen has happened."""
        self.wrong.append(f"{self.clock():%d %H:%M:%S} {text}")

    # --- Trouble -------------------------------------------------------------------------------------------------

    def passing(self, point: str) -> bool:
        """The service passes a point at which something may go wrong. Returns whether the SDK sends again what was done."""
        fault = next((each for each in (self.fault, self.lost) if each is not None and each.point == point), None)
        if fault is None:
            return False
        if fault.countdown:
            fault.countdown -= 1
            return False
        self.fault, self.lost = (each if each is not fault else None for each in (self.fault, self.lost))
        self.faulted = fault.kind not in NEWS
        match fault.kind:
            case "mode off" | "calendar closes" | "suppression":
                self.clock.move(seconds=30)  # By then everybody has to have heard of it.
                self._turn(fault.kind)
                return False
            case "repeated":
                return True
            case "repeated, throttled":
                answer = {"HTTPStatusCode": 503, IN_DOUBT: True}
                raise refusal("RequestLimitExceeded", "no", point, ResponseMetadata=answer)
            case "crash":
                raise Crash(point)
            case "unanswered":
                raise ReadTimeoutError(endpoint_url="https://aws.example")
            case code:
                raise refusal(code, "no", point)

    def fails(self, part: Part, arns: Collection[str]) -> str | None:
        """The instance among these of which a part fails now, if one does."""
        failing = self.failing
        if failing is None or failing.part is not part or str(failing.arn) not in arns or not failing.times:
            return None
        failing.times -= 1
        self.faulted = True
        return str(failing.arn)

    def as_shown(self, machine: Machine) -> Machine:
        """An instance as EC2 shows it at the moment."""
        return machine.as_of(self.clock() - self.lag) if self.lag else machine

    def mend(self) -> None:
        """AWS no longer fails."""
        self.fault = self.lost = self.failing = None
        self.lag = timedelta()

    def _turn(self, news: str) -> None:
        match news:
            case "mode off":
                self.policy = {**self.policy, "mode": "off"}
            case "calendar closes":
                self.calendar_open = False
            case _:
                for arn in self.machines:
                    self.suppress(arn)

    # --- Life ----------------------------------------------------------------------------------------------------

    def launch(self, account: str, number: int, image: str) -> InstanceArn:
        """An instance that has run for ten days and never called IMDSv1; Security Hub has found it."""
        arn = InstanceArn.of(region=REGION, account=account, instance_id=f"i-{number:017x}")
        launched, name = self.clock() - AGE, arn.instance_id
        machine = Machine(arn=arn, instance_id=name, image=image, launched_at=launched, first_launched_at=launched)
        place = self.places.setdefault((account, REGION), Place(Ec2[Machine]({}), CloudWatch(self.clock)))
        self.machines[arn] = place.ec2.instances[name] = machine
        self.findings.findings[finding_id(arn)] = {"workflow": "NEW", "product": PRODUCT}
        life.run(place.cloudwatch, name, launched, self.clock(), launched)
        return arn

    def cloudwatch(self, account: str) -> CloudWatch:
        """The metrics of an account."""
        return self.places[account, REGION].cloudwatch

    def advance(self, by: timedelta) -> None:
        """Time passes; what runs reports every hour."""
        start = self.clock()
        self.clock.time += by
        for machine in self.machines.values():
            if machine.state == "running":
                metrics = self.cloudwatch(machine.arn.account)
                boots = (when for when in self.asked_of.get(machine.arn, ()) if when + life.START >= start)
                for booted_at in (machine.launched_at, *boots):
                    life.run(metrics, machine.instance_id, start, self.clock(), booted_at)
        self._show_late_calls()

    def call(self, arn: InstanceArn, *, late: bool = False) -> None:
        """Its software calls IMDSv1, and is answered or refused as its options say. ``late``: CloudWatch shows what is refused
        two hours later."""
        machine, now = self.machines[arn], self.clock()
        if late and machine.options["HttpTokens"] == "required":
            self.late.append((arn, now))
            return
        answered = life.call_without_token(self.cloudwatch(arn.account), machine, now)
        if answered is not None:
            (machine.used_at if answered else machine.rejected_at).append(now)

    def _show_late_calls(self) -> None:
        due = [each for each in self.late if self.clock() - each[1] >= SHOWN_AFTER]
        self.late = [each for each in self.late if each not in due]
        for arn, when in due:
            machine = self.machines[arn]
            if machine.state == "running":
                life.refuse(self.cloudwatch(arn.account), machine.instance_id, when)
                machine.rejected_at.append(when)

    def stop(self, arn: InstanceArn) -> None:
        """It stops."""
        self.machines[arn].stop(self.clock())

    def start(self, arn: InstanceArn) -> None:
        """It starts, or starts again."""
        machine, now = self.machines[arn], self.clock()
        machine.start(now)
        life.run(self.cloudwatch(arn.account), machine.instance_id, now, now, now)

    def reboot(self, arn: InstanceArn) -> None:
        """Its boot software runs anew, and EC2 shows nothing of that."""
        self.machines[arn].rebooted_at = self.clock()
        self.remember_periods({arn}, self.clock())

    def remember_periods(self, arns: Collection[InstanceArn], since: datetime) -> None:
        """What has run from a time on has reported every five minutes, as all that runs does: the two hours from then on are
        written down so, because the service may ask about them."""
        for arn in arns:
            machine = self.machines[arn]
            end = machine.stopped_at or self.clock()
            if machine.launched_at <= since <= end:
                life.run(self.cloudwatch(arn.account), machine.instance_id, since, end, since)
                self.asked_of.setdefault(arn, []).append(since)

    def terminate(self, arn: InstanceArn) -> None:
        """It is terminated, and EC2 forgets it at once."""
        self.machines[arn].terminate(self.clock())
        self.places[arn.account, REGION].ec2.instances.pop(arn.instance_id, None)

    # --- People --------------------------------------------------------------------------------------------------

    def suppress(self, arn: InstanceArn) -> None:
        """Somebody suppresses the finding of an instance."""
        self.findings.findings[finding_id(arn)]["workflow"] = "SUPPRESSED"

    def toggle_suppression(self, arn: InstanceArn) -> None:
        """Somebody suppresses the finding of an instance, or sets it back."""
        self.findings.findings[finding_id(arn)]["workflow"] = "NEW" if self.is_suppressed(arn) else "SUPPRESSED"

    def is_suppressed(self, arn: InstanceArn) -> bool:
        """Whether the finding of an instance is suppressed."""
        return bool(self.findings.findings[finding_id(arn)]["workflow"] == "SUPPRESSED")

    def _deliver(self, message: Mapping[str, Any]) -> None:
        """Remember whom a notice has reached."""
        self.passing("publish")
        named = [arn for arn in self.machines if str(arn) in message["Message"]]
        self.heard |= dict.fromkeys(named, self.clock())
        if message["MessageAttributes"]["reason"]["StringValue"] == "notice_given":
            for arn in named:
                self.told.setdefault(arn, self.clock())
        self.passing("published")

    def _parameter(self, name: str) -> str:
        assert name == SETTINGS.policy_parameter
        return json.dumps(self.policy) if self.policy_text is None else self.policy_text

    def _is_open(self, calendar: str) -> bool:
        assert calendar == CALENDAR
        return self.calendar_open

    # --- The service ---------------------------------------------------------------------------------------------

    def function(self) -> Service:
        """Another function instance: nothing shared but the AWS it meets."""
        logger: Any = Log(self)
        edge = Edge(
            clients=cast("Any", self.members),
            dynamodb=self.dynamodb,
            ssm=cast("Any", Ssm(self._parameter, self._is_open)),
            sns=cast("Any", Sns(self._deliver)),
            hub=SecurityHub(self.findings.client, logger),
            now=self.clock.tick,
            logger=logger,
        )
        return assemble(edge, SETTINGS)

    def current(self, arn: InstanceArn) -> dict[str, Any]:
        """The `current` item of an instance; empty where there is none."""
        return self._item(str(arn), "current")

    def breaker_opened_at(self, account: str) -> str | None:
        """Since when the breaker of an account is open, if it is."""
        return cast("str | None", self._item("accounts", f"aws/{account}").get("breaker_opened_at"))

    def _item(self, pk: str, sk: str) -> dict[str, Any]:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
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


def _decoded(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
