"""The AWS that the service meets in the fault matrix: the small world in memory, asked call by call."""

from __future__ import annotations

import copy
import io
import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from tests.proof.faults import launchers
from tests.proof.faults.commands import Commands
from tests.proof.faults.injector import EMPTY
from tests.proof.faults.templates import OPERATIONS
from tests.proof.invariants import Effect
from tests.world.cloudwatch import CloudWatch
from tests.world.dynamodb import Table
from tests.world.ec2 import Ec2, Instance
from tests.world.refusal import refusal
from tests.world.scaling import Scaling
from tests.world.security_hub import Findings
from tests.world.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proof.faults.templates import Templates
    from tests.proof.faults.wire import Answer, Call
    from tests.world.clock import Clock

STALE_FOR = timedelta(minutes=2)
REGIONS = ("eu-west-1",)
_KEY = re.compile(r"ASIA(\d{12})(READ|WRITE|ROLLBACK|SOURCE|CAPTURE)")
_WRITES = {"CreateTags", "DeleteTags", "ModifyInstanceMetadataOptions"}


@cache
def _table() -> Table:
    """Made once: its exceptions need one of botocore's clients."""
    return Table()


class Aws:
    """All accounts. ``effects``: the changes of metadata options that had an effect, in order."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ec2: dict[str, Ec2[Instance]] = {}
        self.cloudwatch: dict[str, CloudWatch] = {}
        self.table = copy.copy(_table())
        self.table.items = {}
        self.findings = Findings()
        self.policy: dict[str, Any] = {}
        self.calendar_open = True
        self.published: list[tuple[datetime, dict[str, Any]]] = []
        self.buried: list[str] = []
        self.files: dict[str, bytes] = {}
        self.effects: list[Effect] = []
        self.templates: Templates | None = None
        """What launches instances, where a path is about changing it."""
        self.complaints: list[str] = []
        self.commands = Commands(self)
        self._before: dict[str, tuple[datetime, Any]] = {}
        """By service, when it was last written, and its state before."""

    def account(self, account: str) -> tuple[Ec2[Instance], CloudWatch]:
        """What there is in an account."""
        if account not in self.ec2:
            self.ec2[account], self.cloudwatch[account] = Ec2({}), CloudWatch(self.clock)
        return self.ec2[account], self.cloudwatch[account]

    def do(self, call: Call) -> Answer:
        """Do what is asked. Raises ClientError where AWS refuses it."""
        asked = {name: value for name, value in call.params.items() if value != EMPTY}
        if asked.get("ExclusiveStartKey", {}).get("pk") == {"S": EMPTY}:
            del asked["ExclusiveStartKey"]
        answer: Callable[..., Answer | None] = getattr(self, f"_{call.service}")
        return answer(call, asked) or {}

    def do_stale(self, call: Call) -> Answer:
        """The answer from the state before the last write, as long as that is no more than two minutes ago."""
        written, before = self._before.get(call.service, (None, None))
        if written is None or self.clock() - written > STALE_FOR:
            return self.do(call)
        now = self._state(call.service)
        self._restore(call.service, before)
        try:
            return self.do(call)
        finally:
            self._restore(call.service, now)

    def _state(self, service: str) -> Any:
        match service:
            case "ec2":
                return {account: ec2.instances for account, ec2 in self.ec2.items()}
            case "dynamodb":
                return self.table.items
        return self.findings.findings

    def _restore(self, service: str, state: Any) -> None:
        match service:
            case "ec2":
                for account, instances in state.items():
                    self.ec2[account].instances = instances
            case "dynamodb":
                self.table.items = state
            case _:
                self.findings.findings = state

    def _remember(self, service: str) -> None:
        """Before a write: it will be the state that stale answers show."""
        state = self._state(service)
        # The table replaces items, the others change what they hold.
        self._before[service] = (self.clock(), dict(state) if service == "dynamodb" else copy.deepcopy(state))

    # --- Services ----------------------------------------------------------------------------------------------------

    def _sts(self, call: Call, asked: dict[str, Any]) -> Answer:
        _, _, _, _, account, role = asked["RoleArn"].split(":")
        name = role.rpartition("-")[2].upper()
        keys = {"AccessKeyId": f"ASIA{account}{name}", "SecretAccessKey": "secret", "SessionToken": "token"}
        return {"Credentials": {**keys, "Expiration": self.clock() + timedelta(hours=1)}}

    def _ec2(self, call: Call, asked: dict[str, Any]) -> Answer | None:
        account, role = _principal(call)
        ec2, _ = self.account(account)
        if call.operation == "DescribeRegions":
            return {"Regions": [{"RegionName": each} for each in REGIONS]}
        if self.templates is not None and call.operation in OPERATIONS:
            return self.templates.do(call.operation, asked)
        if self.templates is not None and call.operation == "CreateTags" and asked["Resources"][0].startswith("lt-"):
            self.templates.tags.update(each["Key"] for each in asked["Tags"])
            return {}
        if call.operation in launchers.ANSWERS:
            return dict(launchers.ANSWERS[call.operation])
        if call.operation in _WRITES and not asked.get("DryRun"):
            self._remember("ec2")
        if call.operation == "ModifyInstanceMetadataOptions":
            return self._modify(ec2, account, role, asked)
        answer: Answer | None = getattr(ec2, xform_name(call.operation))(**asked)
        return answer

    def _modify(self, ec2: Ec2[Instance], account: str, role: str, asked: dict[str, Any]) -> Answer:
        instance = ec2.instances.get(asked["InstanceId"])
        before = dict(instance.options) if instance else {}
        tags = dict(instance.tags) if instance else {}
        if role == "ROLLBACK" and "imdsv2:enforced-at" not in tags:
            raise refusal("UnauthorizedOperation", "no such tag", "ModifyInstanceMetadataOptions", status=403)
        answer = ec2.modify_instance_metadata_options(**asked)
        assert instance is not None
        if instance.options != before:
            item = self.item(f"arn:aws:ec2:{REGIONS[0]}:{account}:instance/{instance.instance_id}")
            sent = {name: value for name, value in asked.items() if name != "InstanceId"}
            self.effects.append(
                Effect(
                    at=self.clock(),
                    arn=str(item.get("pk", {}).get("S", instance.instance_id)),
                    role=role.lower(),
                    sent=sent,
                    before=before,
                    tags=tags,
                    item=item,
                )
            )
        return answer

    def _autoscaling(self, call: Call, asked: dict[str, Any]) -> Answer:
        if self.templates is not None and call.operation in OPERATIONS:
            return self.templates.do(call.operation, asked)
        if call.operation != "DescribeScalingActivities":
            return dict(launchers.ANSWERS[call.operation])
        account, _ = _principal(call)
        return Scaling(self.account(account)[0]).describe_scaling_activities(**asked)

    def _batch(self, call: Call, asked: dict[str, Any]) -> Answer:
        return dict(launchers.ANSWERS[call.operation])

    _eks = _batch

    def _cloudtrail(self, call: Call, asked: dict[str, Any]) -> Answer:
        if asked["LookupAttributes"][0]["AttributeValue"] != "RebootInstances":
            return dict(launchers.ANSWERS[call.operation])
        instances = self.account(_principal(call)[0])[0].instances
        reboots = [(each.rebooted_at, name) for name, each in instances.items() if each.rebooted_at is not None]
        return Trail(reboots).lookup_events(**asked)

    def _cloudwatch(self, call: Call, asked: dict[str, Any]) -> Answer:
        account, _ = _principal(call)
        answer: Answer = getattr(self.account(account)[1], xform_name(call.operation))(**asked)
        return answer

    def _dynamodb(self, call: Call, asked: dict[str, Any]) -> Answer:
        if call.operation in {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}:
            self._remember("dynamodb")
        answer: Answer = getattr(self.table, xform_name(call.operation))(**asked)
        if call.operation == "UpdateItem" and "ReturnValues" not in asked:
            return {}
        return answer

    def _securityhub(self, call: Call, asked: dict[str, Any]) -> Answer:
        if call.operation.startswith("BatchUpdate"):
            self._remember("securityhub")
        return self.findings.operations()[call.operation](**asked)

    def _ssm(self, call: Call, asked: dict[str, Any]) -> Answer:
        if call.operation == "GetParameter":
            dated = {"Version": 1, "LastModifiedDate": datetime(2026, 1, 1, tzinfo=UTC)}
            return {"Parameter": {"Name": asked["Name"], "Value": json.dumps(self.policy), **dated}}
        if call.operation in {"SendCommand", "GetCommandInvocation"}:
            return self.commands.do(call, _principal(call)[0], asked)
        if call.operation == "ListInventoryEntries":
            return dict(launchers.ANSWERS[call.operation])
        if call.operation == "GetParameterHistory":
            written = {
                "Value": json.dumps(self.policy),
                "Version": 1,
                "LastModifiedUser": "arn:aws:iam::111111111111:user/x",
            }
            return {"Parameters": [{**written, "LastModifiedDate": datetime(2026, 1, 1, tzinfo=UTC)}]}
        return {"State": "OPEN" if self.calendar_open else "CLOSED"}

    def _sns(self, call: Call, asked: dict[str, Any]) -> Answer:
        self.published.append((self.clock(), asked))
        return {"MessageId": str(len(self.published))}

    def _sqs(self, call: Call, asked: dict[str, Any]) -> Answer:
        self.buried.append(asked["MessageBody"])
        return {"MessageId": "x", "MD5OfMessageBody": "x"}

    def _s3(self, call: Call, asked: dict[str, Any]) -> Answer:
        if call.operation == "PutObject":
            body = asked["Body"]
            if not isinstance(body, bytes):
                body.seek(0)
            self.files[asked["Key"]] = body if isinstance(body, bytes) else body.read()
            return {}
        if asked["Key"] not in self.files:
            raise refusal("NoSuchKey", "no such key", "GetObject", status=404)
        return {"Body": io.BytesIO(self.files[asked["Key"]])}

    def _organizations(self, call: Call, asked: dict[str, Any]) -> Answer:
        return {"Accounts": [{"Id": each, "State": "ACTIVE", "Status": "ACTIVE"} for each in sorted(self.ec2)]}

    def item(self, pk: str, sk: str = "current") -> dict[str, Any]:
        """An item of the ledger's table in DynamoDB's own types; empty where there is none."""
        return self.table.items.get((pk, sk), {})


def _principal(call: Call) -> tuple[str, str]:
    """Account and role by which a request was signed."""
    match = _KEY.fullmatch(call.access_key)
    assert match is not None, call.access_key
    return match[1], match[2]
