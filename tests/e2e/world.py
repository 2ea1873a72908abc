"""The actions of users and of AWS in end-to-end tests: launch, send events, invoke by hand, read the results."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from boto3.dynamodb.types import TypeDeserializer

from local.cloud.run import HOME, MEMBERS, MEMBERS_UNIT, ORGANIZATION
from local.demo.fleet import Launched, Machine, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.cloud.run import LocalCloud

PATIENCE_SECONDS = 120
POLICY_LIVE_SECONDS = 6
"""The longest that a function uses a policy before it reads the parameter again."""
OF_AN_ORGANIZATION: dict[str, Any] = {
    "organization_id": ORGANIZATION,
    "organizational_units": [MEMBERS_UNIT],
    "member_regions": [HOME],
    "call_as": "SELF",
}
"""Settings of a stack that deploys the roles to the members of the local organisation."""
GATES_OFF = {"canary": None, "max_enforcements_per_hour": 10_000}
"""All instances of these tests come from one image, which would make them one cohort."""

FINAL = {"would_enforce", "enforced", "verified", "rolled_back", "held", "skipped", "failed"}

Seen = TypeVar("Seen")

_deserialize = TypeDeserializer().deserialize


class World:
    """The deployed stack and the accounts around it."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.home = cloud.session()
        self._events = self.home.client("events")
        self._lambda = self.home.client("lambda")
        self._dynamodb = self.home.client("dynamodb")
        self._sqs = self.home.client("sqs")
        self._ssm = self.home.client("ssm")
        self._policy: str | None = None
        self._inbox: str | None = None
        self._numbered = 0

    def launch(self, *, number: int = 1, **fields: Any) -> list[Launched]:
        """Launch instances with a history; by default, idle ones in the first member account that may be enforced."""
        self._numbered += 1
        machine = Machine(name=f"e2e-{self._numbered}", story="", decision="enforce", reason="unused")
        return launch(self.cloud, [replace(machine, **fields)] * number)

    def launch_one(self, **fields: Any) -> Launched:
        [one] = self.launch(**fields)
        return one

    def send(self, *events: Mapping[str, Any], bus: str = "default") -> None:
        """Put events on a bus, as AWS's own services would."""
        entries = [
            {
                "EventBusName": bus,
                "Source": event["source"],
                "DetailType": event["detail-type"],
                "Detail": json.dumps(event["detail"]),
                "Resources": event.get("resources", []),
            }
            for event in events
        ]
        for start in range(0, len(entries), 10):
            answer = self._events.put_events(Entries=entries[start : start + 10])
            assert answer["FailedEntryCount"] == 0, answer

    def queue(self, *bodies: str) -> None:
        """Put raw messages on the findings queue."""
        for body in bodies:
            self._sqs.send_message(QueueUrl=self.cloud.outputs["FindingsQueueUrl"], MessageBody=body)

    def ask(self, payload: object) -> Any:
        """Invoke the manual function; a function error fails the test."""
        return self.invoke(self.cloud.outputs["ManualFunctionName"], payload)

    def revisit(self) -> Any:
        """Run the scheduled function now."""
        return self.invoke("imdsv2-remediation-revisit", {})

    def guard(self) -> dict[str, int]:
        """Run a pass of the guard now, even if another has just ended."""
        self._forget_of_accounts("guarded_at")
        done: dict[str, int] = self.invoke("imdsv2-remediation-guard", {})
        return done

    def guard_until(self, count: str) -> None:
        """Run passes until one counts something. What another function is at work on is left to the next pass; each note of a finding
        comes back as an event, and is work once more."""
        passes: list[dict[str, int]] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            passes.append(self.guard())
            if passes[-1][count]:
                return
        raise AssertionError(
            f"no {count} in {len(passes)} passes of the guard, the first: {passes[0]}, the last: {passes[-1]}"
        )

    def forget_breakage(self) -> None:
        """Reset the counts of rollbacks and changes in all accounts."""
        self._forget_of_accounts("rollbacks", "breaker_opened_at", "enforcements")

    def _forget_of_accounts(self, *attributes: str) -> None:
        table = self.cloud.outputs["LedgerTableName"]
        accounts = self._dynamodb.query(
            TableName=table, KeyConditionExpression="pk = :a", ExpressionAttributeValues={":a": {"S": "accounts"}}
        )
        for item in accounts["Items"]:
            key = {"pk": item["pk"], "sk": item["sk"]}
            self._dynamodb.update_item(TableName=table, Key=key, UpdateExpression="REMOVE " + ", ".join(attributes))

    def forget_digest(self) -> None:
        """Let the next whole sweep send the digest, though one may have been sent today."""
        key = {"pk": {"S": "digest"}, "sk": {"S": "current"}}
        self._dynamodb.delete_item(TableName=self.cloud.outputs["LedgerTableName"], Key=key)

    def age(self, one: Launched, hours: int) -> None:
        """Move an enforcement so many hours into the past; the instance ran during these hours."""
        enforced_at = datetime.now(UTC) - timedelta(hours=hours)
        text = enforced_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.change_ledger(one, enforced_at=text, enforced_key=f"open#{text}")

    def reject(self, one: Launched, calls: int = 1) -> None:
        """Record rejected IMDSv1 calls in CloudWatch, now and five minutes ago: one period alone may be a probe."""
        session = self.cloud.session(account=one.machine.account, region=one.machine.region)
        session.client("cloudwatch").put_metric_data(
            Namespace="AWS/EC2",
            MetricData=[
                {
                    "MetricName": "MetadataNoTokenRejected",
                    "Dimensions": [{"Name": "InstanceId", "Value": one.instance_id}],
                    "Timestamp": datetime.now(UTC) - timedelta(minutes=minutes),
                    "Value": calls,
                }
                for minutes in (0, 5)
            ],
        )

    def messages(self) -> list[dict[str, Any]]:
        """The topic's messages since the last call."""
        if self._inbox is None:
            self._inbox = self._sqs.create_queue(QueueName="inbox")["QueueUrl"]
            asked = self._sqs.get_queue_attributes(QueueUrl=self._inbox, AttributeNames=["QueueArn"])
            arn = asked["Attributes"]["QueueArn"]
            allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Resource": arn}
            policy = {"Version": "2012-10-17", "Statement": [{**allow, "Action": "sqs:SendMessage"}]}
            self._sqs.set_queue_attributes(QueueUrl=self._inbox, Attributes={"Policy": json.dumps(policy)})
            topic = self.cloud.outputs["NotificationsTopicArn"]
            self.home.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        told: list[dict[str, Any]] = []
        while taken := self._sqs.receive_message(QueueUrl=self._inbox, MaxNumberOfMessages=10).get("Messages", []):
            for message in taken:
                told.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._inbox, ReceiptHandle=message["ReceiptHandle"])
        return told

    def remediate(self, *bodies: str) -> Any:
        """Pass a batch to the function behind the queue, and return its partial answer."""
        records = [{"messageId": str(index), "body": body} for index, body in enumerate(bodies)]
        return self.invoke("imdsv2-remediation-remediate", {"Records": records})

    def set_policy(self, document: Mapping[str, Any] | str) -> None:
        """Write the parameter, with all gates off that it does not name, and wait until every function has read it."""
        text = document if isinstance(document, str) else json.dumps({**GATES_OFF, **document})
        if text == self._policy:
            return
        self._ssm.put_parameter(
            Name=self.cloud.outputs["PolicyParameterName"], Value=text, Type="String", Overwrite=True
        )
        if self._policy is not None:
            time.sleep(POLICY_LIVE_SECONDS)
        self._policy = text

    def current(self, one: Launched) -> dict[str, Any]:
        """The instance's current item in the ledger; empty if there is none."""
        key = {"pk": {"S": one.arn}, "sk": {"S": "current"}}
        item = self._dynamodb.get_item(TableName=self.cloud.outputs["LedgerTableName"], Key=key, ConsistentRead=True)
        return {name: _deserialize(value) for name, value in item.get("Item", {}).items()}

    def has_judged(self, arn: str) -> bool:
        """Whether the ledger knows an instance."""
        key = {"pk": {"S": arn}, "sk": {"S": "current"}}
        return "Item" in self._dynamodb.get_item(TableName=self.cloud.outputs["LedgerTableName"], Key=key)

    def history(self, one: Launched) -> list[str]:
        """The instance's past statuses."""
        return [str(item["status"]) for item in self.events(one)]

    def events(self, one: Launched) -> list[dict[str, Any]]:
        """The instance's event items."""
        found = self._dynamodb.query(
            TableName=self.cloud.outputs["LedgerTableName"],
            KeyConditionExpression="pk = :pk AND begins_with(sk, :event)",
            ExpressionAttributeValues={":pk": {"S": one.arn}, ":event": {"S": "event#"}},
        )
        return [{name: _deserialize(value) for name, value in item.items()} for item in found["Items"]]

    def change_ledger(self, one: Launched, **attributes: Any) -> None:
        """Overwrite attributes of the current item, to simulate the passage of time or a crash."""
        names = {f"#{name}": name for name in attributes}
        self._dynamodb.update_item(
            TableName=self.cloud.outputs["LedgerTableName"],
            Key={"pk": {"S": one.arn}, "sk": {"S": "current"}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in attributes),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={f":{name}": {"S": value} for name, value in attributes.items()},
        )

    def lease_ends(self, one: Launched) -> None:
        """Let time pass until another function may act on the instance, and it is due."""
        past = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        item = self.current(one)
        if changes := {name: past for name in ("lease_until", "revisit_at") if name in item}:
            self.change_ledger(one, **changes)

    def decided(self, one: Launched, *, after: str = "") -> dict[str, Any]:
        """Wait for a final verdict (after a given time, if any) and return the current item."""

        def look() -> dict[str, Any] | None:
            item = self.current(one)
            return item if item.get("status") in FINAL and item["decided_at"] > after else None

        return eventually(look, f"a final verdict on {one.arn}")

    def verdicts(self, many: Sequence[Launched]) -> list[tuple[str, str]]:
        """Wait for the verdicts of several instances: status and reason of each."""
        items = [self.decided(one) for one in many]
        return [(item["status"], item["reason"]) for item in items]

    def options(self, one: Launched) -> dict[str, Any]:
        """The metadata options in EC2."""
        ec2 = self.cloud.session(account=one.machine.account, region=one.machine.region).client("ec2")
        [reservation] = ec2.describe_instances(InstanceIds=[one.instance_id])["Reservations"]
        return dict(reservation["Instances"][0]["MetadataOptions"])

    def tags(self, one: Launched) -> dict[str, str]:
        ec2 = self.cloud.session(account=one.machine.account, region=one.machine.region).client("ec2")
        [reservation] = ec2.describe_instances(InstanceIds=[one.instance_id])["Reservations"]
        return {tag["Key"]: tag["Value"] for tag in reservation["Instances"][0]["Tags"]}

    def dead_letters(self, number: int) -> list[dict[str, Any]]:
        """Wait for so many messages in the dead-letter queue, and remove them."""
        url = self.cloud.outputs["FindingsDeadLetterQueueUrl"]
        taken: list[dict[str, Any]] = []

        def look() -> list[dict[str, Any]] | None:
            answer = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
            for message in answer.get("Messages", []):
                taken.append(dict(message))
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return taken if len(taken) >= number else None

        return eventually(look, f"{number} dead letters") if number else []

    def batches_end(self) -> None:
        """Wait until the function is done with every message of the findings queue: it may work on after the ledger shows its verdict."""
        url = self.cloud.outputs["FindingsQueueUrl"]

        def look() -> bool | None:
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            left: Any = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)  # type: ignore[arg-type]
            return {"0"} == {*left["Attributes"].values()} or None

        eventually(look, "the end of all batches")

    def empty_queue(self) -> None:
        """Delete all messages in the findings queue."""
        self._sqs.purge_queue(QueueUrl=self.cloud.outputs["FindingsQueueUrl"])

    def empty_dead_letters(self) -> None:
        self._sqs.purge_queue(QueueUrl=self.cloud.outputs["FindingsDeadLetterQueueUrl"])

    def ended(self, execution: str) -> dict[str, Any]:
        """Wait for the end of an execution of a state machine."""

        def look() -> dict[str, Any] | None:
            seen: dict[str, Any] = self.home.client("stepfunctions").describe_execution(executionArn=execution)
            return seen if seen["status"] != "RUNNING" else None

        return eventually(look, f"the end of {execution}")

    def calls(self, action: str, account: str | None = None) -> int:
        """How often an AWS action was called since the counters were reset."""
        return sum(
            each["calls"]
            for each in self.cloud.calls()
            if each["action"] == action and account in {None, each["account"]}
        )

    def switch_batching_window_off(self) -> None:
        """Deliver findings without a batching window."""
        self._change_mapping(MaximumBatchingWindowInSeconds=0)

    def stop_schedules(self) -> None:
        """Disable all schedules."""
        scheduler: Any = self.home.client("scheduler")
        for each in scheduler.list_schedules()["Schedules"]:
            known = scheduler.get_schedule(Name=each["Name"])
            changes = {name: known[name] for name in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
            scheduler.update_schedule(**changes, State="DISABLED")

    def set_queue_listening(self, *, enabled: bool) -> None:
        """Enable or disable the queue's event source mapping."""
        self._change_mapping(Enabled=enabled)

    def _change_mapping(self, **changes: Any) -> None:
        [mapping] = self._lambda.list_event_source_mappings(FunctionName="imdsv2-remediation-remediate")[
            "EventSourceMappings"
        ]
        self._lambda.update_event_source_mapping(UUID=mapping["UUID"], **changes)

    def invoke(self, function: str, payload: object) -> Any:
        """The answer of a function; a function error fails the test."""
        answer = self._lambda.invoke(FunctionName=function, Payload=json.dumps(payload))
        text = answer["Payload"].read().decode()
        assert "FunctionError" not in answer, text
        return json.loads(text)


def eventually(look: Callable[[], Seen | None], what: str) -> Seen:
    """Poll until there is a result; fails with a description of what was awaited."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        seen = look()
        if seen is not None:
            return seen
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain for {what}")


__all__ = ["HOME", "MEMBERS", "World", "eventually"]
