"""The chain of AWS services between an event and its effect."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.run import HOME, MEMBERS, SECURITY
from tests.local import chain_stack

if TYPE_CHECKING:
    from local.cloud.run import LocalCloud

PATIENCE_SECONDS = 20
MEMBER, STRANGER = MEMBERS


def _put(
    cloud: LocalCloud,
    *details: dict[str, Any],
    bus: str = "default",
    account: str = SECURITY,
    source: str = "aws.config",
) -> list[str]:
    entries: Any = [
        {"Source": source, "DetailType": "test", "Detail": json.dumps(detail), "EventBusName": bus}
        for detail in details
    ]
    answer = cloud.session(account=account).client("events").put_events(Entries=entries)
    assert 0 == answer["FailedEntryCount"]
    return [entry["EventId"] for entry in answer["Entries"]]


def _seen(cloud: LocalCloud, chain: dict[str, str], events: list[str]) -> list[dict[str, Any]]:
    """What the function wrote of these events, once it has of all."""
    keys = [{"pk": {"S": event}, "sk": {"S": "seen"}} for event in events]
    deadline = time.monotonic() + PATIENCE_SECONDS
    items: list[dict[str, Any]] = []
    while len(items) < len(events) and time.monotonic() < deadline:
        time.sleep(0.1)
        items = (
            cloud.session()
            .client("dynamodb")
            .batch_get_item(RequestItems={chain["Table"]: {"Keys": keys}})["Responses"][chain["Table"]]
        )
    assert len(events) == len(items)
    return items


def _accounts(cloud: LocalCloud, chain: dict[str, str]) -> list[str]:
    return [item["account"]["S"] for item in cloud.session().client("dynamodb").scan(TableName=chain["Table"])["Items"]]


@pytest.mark.parametrize("bus", ["default", chain_stack.BUS])
def test_events_of_aws_services_reach_the_function(cloud: LocalCloud, chain: dict[str, str], bus: str) -> None:
    """Put by anybody here, matched by a rule, through an encrypted queue, in one batch after the window."""
    items = _seen(cloud, chain, _put(cloud, *[{}] * 7, bus=bus))
    assert {"7"} == {item["batch"]["N"] for item in items}
    assert 1 == len({item["request"]["S"] for item in items})
    assert {(SECURITY, HOME)} == {(item["account"]["S"], item["region"]["S"]) for item in items}
    assert all(0 < int(item["left"]["N"]) <= 30_000 for item in items)


def test_a_failed_message_comes_again_alone_and_ends_in_the_dead_letter_queue(
    cloud: LocalCloud, chain: dict[str, str]
) -> None:
    """The others of its batch are done."""
    _, good = _put(cloud, {"fail": True}, {})
    _seen(cloud, chain, [good])
    sqs = cloud.session().client("sqs")
    deadline = time.monotonic() + PATIENCE_SECONDS
    dead: Any = []
    while not dead and time.monotonic() < deadline:
        dead = sqs.receive_message(QueueUrl=chain["DeadLetters"], WaitTimeSeconds=1).get("Messages", [])
    assert [{"fail": True}] == [json.loads(message["Body"])["detail"] for message in dead]


def _forward(cloud: LocalCloud, account: str, bus: str, *actions: str) -> str:
    """Have a rule send two services' events to a bus of the security account; returns the queue of what cannot be delivered."""
    session = cloud.session(account=account)
    events, iam = session.client("events"), session.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    role = iam.create_role(
        RoleName="forward", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
    )["Role"]["Arn"]
    iam.put_role_policy(
        RoleName="forward", PolicyName="own", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allow})
    )
    undelivered = session.client("sqs").create_queue(QueueName="undelivered")["QueueUrl"]
    events.put_rule(Name="forward", EventPattern=json.dumps({"source": ["aws.config", "aws.health"]}))
    target: Any = {
        "Id": "bus",
        "Arn": f"arn:aws:events:{HOME}:{SECURITY}:event-bus/{bus}",
        "RoleArn": role,
        "DeadLetterConfig": {"Arn": f"arn:aws:sqs:{HOME}:{account}:undelivered"},
    }
    events.put_targets(Rule="forward", Targets=[target])
    return undelivered


def test_a_rule_of_another_account_reaches_a_bus_that_lets_it(
    cloud: LocalCloud, chain: dict[str, str], account: str
) -> None:
    """Only the account that the bus's policy names, only the source that it names, and only by a role that may.

    The event keeps its account; what is not taken is left in the sender's dead-letter queue.
    """
    senders = {MEMBER: "events:PutEvents", STRANGER: "events:PutEvents", account: "events:PutRule"}
    queues = {sender: _forward(cloud, sender, chain_stack.BUS, action) for sender, action in senders.items()}
    for sender in senders:
        _put(cloud, {}, account=sender)
    _put(cloud, {}, account=MEMBER, source="aws.health")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while MEMBER not in _accounts(cloud, chain) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [1, 0, 0] == [_accounts(cloud, chain).count(sender) for sender in senders]
    left = {
        sender: [
            json.loads(message["Body"])["source"]
            for message in cloud.session(account=sender)
            .client("sqs")
            .receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            .get("Messages", [])
        ]
        for sender, url in queues.items()
    }
    assert {MEMBER: ["aws.health"], STRANGER: ["aws.config"], account: ["aws.config"]} == left


def test_a_custom_resource_is_made_by_its_function(chain: dict[str, str]) -> None:
    """CloudFormation waits for the function's answer and hands its data on."""
    assert "hello" == chain["Echo"]


def test_a_function_finds_only_what_its_asset_brings(cloud: LocalCloud, chain: dict[str, str]) -> None:
    """What is installed beside the server would hide a dependency that the asset forgot."""
    payload = json.dumps({"import": "ministack"})
    answer = cloud.session().client("lambda").invoke(FunctionName=chain["Probe"], Payload=payload)
    assert {"found": False} == json.load(answer["Payload"])


def test_an_index_holds_what_is_due(cloud: LocalCloud, chain: dict[str, str]) -> None:
    """Keys only, by shard and time."""
    events = _put(cloud, {})
    _seen(cloud, chain, events)
    found = (
        cloud.session()
        .client("dynamodb")
        .query(
            TableName=chain["Table"],
            IndexName="due",
            KeyConditionExpression="due = :one AND #at <= :now",
            ExpressionAttributeNames={"#at": "at"},
            ExpressionAttributeValues={":one": {"N": "1"}, ":now": {"S": "2026-06-01T00:00:00Z"}},
        )
    )
    assert events[0] in {item["pk"]["S"] for item in found["Items"]}


def test_a_cancelled_transaction_says_why_and_what_was_there(cloud: LocalCloud, chain: dict[str, str]) -> None:
    """`ALL_OLD` tells one's own echo from somebody else's write."""
    dynamodb = cloud.session().client("dynamodb")
    key: Any = {"pk": {"S": uuid.uuid4().hex}, "sk": {"S": "current"}}
    dynamodb.put_item(TableName=chain["Table"], Item={**key, "owner": {"S": "first"}})
    condition: Any = {
        "TableName": chain["Table"],
        "Key": key,
        "UpdateExpression": "SET #o = :me",
        "ConditionExpression": "attribute_not_exists(pk)",
        "ExpressionAttributeNames": {"#o": "owner"},
        "ExpressionAttributeValues": {":me": {"S": "second"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    other: Any = {"TableName": chain["Table"], "Item": {**key, "sk": {"S": "event"}}}
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as cancelled:
        dynamodb.transact_write_items(TransactItems=[{"Update": condition}, {"Put": other}])
    reasons: Any = cancelled.value.response["CancellationReasons"]
    assert ["ConditionalCheckFailed", "None"] == [reason["Code"] for reason in reasons]
    assert {"S": "first"} == reasons[0]["Item"]["owner"]
    assert "Item" not in dynamodb.get_item(
        TableName=chain["Table"], Key=other["Item"] and {**key, "sk": {"S": "event"}}
    )


def test_a_schedule_fires(cloud: LocalCloud) -> None:
    """EventBridge Scheduler sends its input to its target when the time has come."""
    session = cloud.session()
    sqs = session.client("sqs")
    queue = sqs.create_queue(QueueName="scheduled")["QueueUrl"]
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    role = f"arn:aws:iam::{SECURITY}:role/none"
    session.client("scheduler").create_schedule(
        Name="once",
        ScheduleExpression=f"at({at})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": f"arn:aws:sqs:{HOME}:{SECURITY}:scheduled", "RoleArn": role, "Input": '{"due": true}'},
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    messages: Any = []
    while not messages and time.monotonic() < deadline:
        messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", [])
    assert ['{"due": true}'] == [message["Body"] for message in messages]
