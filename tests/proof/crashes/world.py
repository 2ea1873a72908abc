"""A small AWS in memory in which functions can be killed at any call: accounts, a fleet, a ledger, and what people are told."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.types import TypeDeserializer

from imdsv2.aws.security_hub import SecurityHub
from imdsv2.domain.instance import InstanceArn
from imdsv2.wiring.service import Edge, Service, assemble
from tests.integration.builders import NOW, REGION, SETTINGS
from tests.proof.crashes.calls import Client, Process
from tests.proof.crashes.nevers import LOOKBACK, Witness
from tests.world import life
from tests.world.clock import Clock
from tests.world.cloudwatch import CloudWatch
from tests.world.dynamodb import Table
from tests.world.ec2 import Ec2, Instance
from tests.world.edge import MemberClients, Place, Sns, Ssm
from tests.world.security_hub import Findings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import Placed

AGE = timedelta(days=10)
POLICY: Mapping[str, Any] = {
    "mode": "enforce",
    "lookback_days": LOOKBACK.days,
    "min_observed_hours": 12,
    "min_coverage": 0.5,
    "watch_hours": 6,
    "canary": None,
    "digest": "off",
}
"""Short windows, so that a life of a day shows everything."""
PRODUCT = f"arn:aws:securityhub:{REGION}::product/aws/securityhub"
_ARN = re.compile(r"arn:aws:ec2:[a-z0-9-]+:\d{12}:instance/i-[0-9a-f]{17}")


class World:
    """The accounts and what is in them, the service's ledger and policy, and everything that people were told."""

    def __init__(self, **policy: Any) -> None:
        self.clock = Clock(NOW)
        self.table = Table()
        self.policy: dict[str, Any] = {**POLICY, **policy}
        self.places: dict[tuple[str, str], Place[CloudWatch]] = {}
        self.findings = Findings()
        self.instances: dict[InstanceArn, Instance] = {}
        self.callers: set[InstanceArn] = set()
        """Those whose software calls IMDSv1 every few minutes."""
        self.told: list[dict[str, Any]] = []
        self.witness = Witness(self)

    # --- Life ----------------------------------------------------------------------------------------------------

    def launch(
        self,
        account: str,
        image: str,
        *,
        age: timedelta = AGE,
        found: bool = True,
        tags: Mapping[str, str] | None = None,
    ) -> InstanceArn:
        """An instance that has never called IMDSv1 since its launch; ``found``: Security Hub has a finding about it."""
        arn = InstanceArn.of(region=REGION, account=account, instance_id=f"i-{len(self.instances) + 1:017x}")
        launched, name = self.clock() - age, arn.instance_id
        instance = Instance(
            instance_id=name, image=image, launched_at=launched, first_launched_at=launched, tags=dict(tags or {})
        )
        place = self.places.setdefault((account, REGION), Place(Ec2[Instance]({}), CloudWatch(self.clock)))
        self.instances[arn] = place.ec2.instances[name] = instance
        if found:
            self.findings.findings[finding_id(arn)] = {"workflow": "NEW", "product": PRODUCT}
        life.run(place.cloudwatch, name, launched, self.clock(), launched)
        return arn

    def cloudwatch(self, arn: InstanceArn) -> CloudWatch:
        """The metrics of the place of an instance."""
        return self.places[arn.account, arn.region].cloudwatch

    def advance(self, by: timedelta) -> None:
        """Time passes: what runs reports, and what calls IMDSv1 does so, every five minutes for at most half an hour."""
        end = self.clock() + by
        while self.clock() < end:
            start = self.clock()
            left = end - start
            self.clock.time += (
                min(left, timedelta(minutes=5)) if self.callers and left <= timedelta(minutes=30) else left
            )
            for arn, instance in self.instances.items():
                if instance.state == "running":
                    life.run(self.cloudwatch(arn), instance.instance_id, start, self.clock(), instance.launched_at)
            for arn in sorted(self.callers):
                life.call_without_token(self.cloudwatch(arn), self.instances[arn], self.clock())

    # --- The service ---------------------------------------------------------------------------------------------

    def function(self, process: Process) -> Service:
        """Another function instance, whose calls are made by a process."""
        edge = Edge(
            clients=cast("Any", _MembersOf(self, process)),
            dynamodb=cast("Any", Client(self.table, process)),
            ssm=cast("Any", Client(Ssm(self._parameter, lambda _: True), process)),
            sns=cast("Any", Client(Sns(self._deliver), process)),
            hub=SecurityHub(cast("Any", Client(self.findings, process)), _LOGGER),
            now=self.clock.tick,
            logger=_LOGGER,
        )
        return assemble(edge, SETTINGS)

    def _parameter(self, name: str) -> str:
        assert name == SETTINGS.policy_parameter
        return json.dumps(self.policy)

    def _deliver(self, message: Mapping[str, Any]) -> None:
        attributes = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
        about = sorted(set(_ARN.findall(message["Message"])))
        news = message["Subject"].partition(":")[0] if about else ""
        self.told.append(
            {"about": about or [attributes.get("account", "")], "news": news, "reason": attributes["reason"]}
        )

    # --- Looks behind it -----------------------------------------------------------------------------------------

    def items(self) -> list[dict[str, Any]]:
        """Everything in the ledger's table."""
        decode = TypeDeserializer().deserialize
        return [{name: decode(value) for name, value in item.items()} for item in self.table.items.values()]

    def current(self, arn: InstanceArn) -> dict[str, Any]:
        """The `current` item of an instance; empty where there is none."""
        item = self.table.items.get((str(arn), "current"), {})
        return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}

    def account_item(self, account: str) -> dict[str, Any]:
        """The item of an account; empty where there is none."""
        item = self.table.items.get(("accounts", f"aws/{account}"), {})
        return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}

    def history(self, arn: InstanceArn) -> list[str]:
        """The statuses through which an instance has gone."""
        events = [each for each in self.items() if each["pk"] == str(arn) and each["sk"].startswith("event#")]
        return [str(each["status"]) for each in sorted(events, key=lambda each: str(each["sk"]))]


class _MembersOf(MemberClients):
    """The member accounts as one process meets them, under the eyes of the witness."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__(world.places)
        self._world, self._process = world, process

    def ec2(self, there: Placed, role: str) -> Any:
        """EC2 where something lies."""
        watched = self._world.witness.over(super().ec2(there, role), there, role)
        return Client(watched, self._process)

    def cloudwatch(self, there: Placed) -> Any:
        """CloudWatch where something lies."""
        return Client(super().cloudwatch(there), self._process)

    def other(self, service: str, there: Placed) -> Any:
        """Auto Scaling or CloudTrail where something lies."""
        return Client(super().other(service, there), self._process)


def finding_id(arn: InstanceArn) -> str:
    """The id of the one finding of an instance."""
    return f"arn:aws:securityhub:{arn.region}:{arn.account}:security-control/EC2.8/finding/{arn.instance_id}"


_LOGGER: Any = logging.getLogger("tests.proof")
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.propagate = False
