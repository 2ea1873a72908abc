"""The deployed stack behind the proxy, what its functions change through it, and how time goes on without faults."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.cloud.findings import instance_arn
from tests.fixtures import events
from tests.proof.invariants import Effect, End, Seen, Told, of_accounts, violations
from tests.proof.killed.processes import kill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.demo.fleet import Launched
    from tests.e2e.world import World
    from tests.proof.wire.proxy import Proxy, Request

ROUNDS = 3
"""Deliveries, revisits and passes of the guard after a fault, with the time between them: what is owed is done by then."""
_KEY = re.compile(rb"<AccessKeyId>(\w+)<")
_ROLE = re.compile(r"::(\d+):role/imdsv2-remediation-(\w+)$")
_BETWEEN = timedelta(minutes=65)
_WAITED_FOR = ("lease_until", "revisit_at", "planned_revisit_at", "returned_at", "left_at")
"""What the next step waits for, in the current item."""


@dataclass(slots=True)
class Behind:
    """The world behind the proxy.

    ``roles``: account and role of each access key that STS has given out; ``effects``: the changes of metadata options since
    the row began.
    """

    world: World
    proxy: Proxy
    roles: dict[str, tuple[str, str]] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """See every change of options that a function asks for."""
        self.proxy.before, self.proxy.after = self._before, self._after

    # --- The functions -------------------------------------------------------------------------------------------

    def found(self, one: Launched) -> str:
        """Security Hub reports an instance: returns the message in the queue."""
        hub: Any = self.world.home.client("securityhub")
        finding = events.finding(one.arn, finding_id=f"{one.arn}/finding/wire")
        hub.batch_import_findings(Findings=[finding])
        return json.dumps(events.imported(finding))

    def runs(self, function: Callable[[], Any]) -> Any:
        """Run a function as Lambda does: None if it failed."""
        try:
            return function()
        except AssertionError:
            return None

    def takes(self, message: str) -> bool:
        """Deliver a message: whether it need not be delivered again."""
        answer = self.runs(lambda: self.world.remediate(message))
        return bool(answer == {"batchItemFailures": []})

    def starts_anew(self, function: str) -> None:
        """Let a function run in a process that has not entered any account yet: a running one keeps its sessions."""
        self.runs(self.world.guard)  # From now on no account is due, so that the guard enters none.
        with suppress(LookupError):  # It may not have run yet.
            kill(self.world.cloud.pid, function)
        while self.runs(lambda: self.world.invoke(function, {"Records": []})) is None:
            """Lambda finds out that the process has gone."""

    def goes_on(self, one: Launched, message: str | None) -> None:
        """Time passes without faults: the queue delivers again what was not taken, schedules run."""
        self.proxy.faults()
        for _ in range(ROUNDS):
            self._time_passes(one)
            if message is not None and self.takes(message):
                message = None
            for function in (self.world.revisit, self.world.guard):
                self.runs(function)
        if message is not None:
            self.complaints.append("a message was never taken")

    def begins(self) -> None:
        """Forget what earlier rows came to."""
        self.proxy.faults()
        self.world.forget_breakage()
        self.world.messages()
        self.effects.clear()
        self.complaints.clear()

    def _time_passes(self, one: Launched) -> None:
        item = self.world.current(one)
        earlier = {name: _text(datetime.fromisoformat(item[name]) - _BETWEEN) for name in _WAITED_FOR if item.get(name)}
        if earlier:
            self.world.change_ledger(one, **earlier)

    # --- What came of it -----------------------------------------------------------------------------------------

    def wrong(self, one: Launched, *, may_repeat: bool) -> list[str]:
        """The invariants that an instance violates."""
        now = datetime.now(UTC)
        published = [Told(at=now, subject=each["Subject"], text=each["Message"]) for each in self.world.messages()]
        seen = Seen(
            arn=one.arn,
            options=self.world.options(one),
            tags=self.world.tags(one),
            item=self.world.current(one),
            notes=self._notes(one),
        )
        accounts = of_accounts(self._accounts())
        end = End(
            instances=[seen],
            accounts={number: accounts.get(number, {}) for number in (one.machine.account,)},
            published=published,
            effects=[each for each in self.effects if each.arn == one.arn],
            complaints=self.complaints,
            may_repeat=may_repeat,
        )
        return violations(end)

    def _notes(self, one: Launched) -> list[str | None]:
        hub: Any = self.world.home.client("securityhub")
        by_id = {"Id": [{"Value": f"{one.arn}/finding/wire", "Comparison": "EQUALS"}]}
        return [each.get("Note", {}).get("Text") for each in hub.get_findings(Filters=by_id)["Findings"]]

    def _accounts(self) -> Sequence[Mapping[str, Any]]:
        table = self.world.cloud.outputs["LedgerTableName"]
        found = self.world.home.client("dynamodb").query(
            TableName=table,
            KeyConditionExpression="pk = :a",
            ExpressionAttributeValues={":a": {"S": "accounts"}},
            ConsistentRead=True,
        )
        return found["Items"]

    # --- What passes the proxy -----------------------------------------------------------------------------------

    def _before(self, request: Request) -> tuple[str, dict[str, Any]] | None:
        if request.operation != "ec2:ModifyInstanceMetadataOptions" or request.fields.get("DryRun") == "true":
            return None
        account, _ = self.roles[request.access_key]
        arn = instance_arn(account, request.region, request.fields["InstanceId"])
        return arn, self._instance(arn)

    def _after(self, request: Request, seen: tuple[str, dict[str, Any]] | None, status: int, content: bytes) -> None:
        if request.operation == "sts:AssumeRole" and (key := _KEY.search(content)):
            role = _ROLE.search(request.fields["RoleArn"])
            assert role is not None
            self.roles[key[1].decode()] = (role[1], role[2])
        if seen is None or status != 200:
            return
        arn, before = seen
        if before["options"]["HttpTokens"] != request.fields.get("HttpTokens"):
            self.effects.append(
                Effect(
                    at=datetime.now(UTC),
                    arn=arn,
                    role=self.roles[request.access_key][1],
                    sent={name: value for name, value in request.fields.items() if name.startswith("Http")},
                    before=before["options"],
                    tags=before["tags"],
                    item=before["item"],
                )
            )

    def _instance(self, arn: str) -> dict[str, Any]:
        """What EC2 and the ledger have of an instance now."""
        _, _, _, region, account, name = arn.split(":")
        ec2: Any = self.world.cloud.session(account=account, region=region).client("ec2")
        [reservation] = ec2.describe_instances(InstanceIds=[name.partition("/")[2]])["Reservations"]
        [instance] = reservation["Instances"]
        key = {"pk": {"S": arn}, "sk": {"S": "current"}}
        table = self.world.cloud.outputs["LedgerTableName"]
        found = self.world.home.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)
        kept = ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint")
        return {
            "options": {name: instance["MetadataOptions"][name] for name in kept},
            "tags": {each["Key"]: each["Value"] for each in instance["Tags"]},
            "item": found.get("Item", {}),
        }


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
