"""For each alarm of the stack: what raises it, and what ends it.

The functions run, and what they publish in their logs arrives in CloudWatch. Only time is ours. What no local service does (Lambda
refuses a start, EventBridge loses an event) is published as AWS would.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.cloud.run import MEMBERS
from tests.e2e.world import GATES_OFF, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.e2e.world import World

PREFIX = "imdsv2-remediation-"
FUNCTIONS = ("remediate", "revisit", "sweep", "guard", "broadcast")
UNKNOWN_ACCOUNT = "999999999999"
MINUTE = 60
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Row:
    """What happens, and how many seconds pass until the alarm is looked at; the same for its end."""

    cause: Callable[[World], object]
    cure: Callable[[World], object]
    after: int = 0
    later: int = 20 * MINUTE


def _nothing(_world: World) -> None:
    """It comes, or ends, by itself."""


def _dead_letter_of(world: World) -> None:
    world.queue("no event at all")
    queue: Any = world.home.client("sqs")
    asked = {
        "QueueUrl": world.cloud.outputs["FindingsDeadLetterQueueUrl"],
        "AttributeNames": ["ApproximateNumberOfMessages"],
    }

    def look() -> bool | None:
        return int(queue.get_queue_attributes(**asked)["Attributes"]["ApproximateNumberOfMessages"]) > 0 or None

    eventually(look, "a dead letter")


def _failed_invocations(world: World) -> str:
    [url] = world.home.client("sqs").list_queues(QueueNamePrefix="Imdsv2Remediation-FailedInvocations")["QueueUrls"]
    return url


def _keep_invocation(world: World) -> None:
    world.home.client("sqs").send_message(QueueUrl=_failed_invocations(world), MessageBody="{}")


def _forget_invocations(world: World) -> None:
    world.home.client("sqs").purge_queue(QueueUrl=_failed_invocations(world))


def _finding_waits(world: World) -> None:
    world.set_queue_listening(enabled=False)
    world.queue("{}")


def _findings_are_read(world: World) -> None:
    world.empty_queue()
    world.set_queue_listening(enabled=True)


def _fails(world: World, function: str, payload: object) -> None:
    answer = world.home.client("lambda").invoke(FunctionName=f"{PREFIX}{function}", Payload=json.dumps(payload))
    assert "FunctionError" in answer, answer["Payload"].read()


def _refused_by_dynamodb(function: str) -> Callable[[World], None]:
    """It can read neither its work nor the ledger; what came over the stream cannot be read either."""

    def fail(world: World) -> None:
        world.cloud.faults([{"service": "dynamodb", "error": "AccessDeniedException"}])
        _fails(world, function, {"Records": "none"} if function == "broadcast" else {})
        world.cloud.faults()

    return fail


def _manual_runs_out_of_time(world: World) -> None:
    """It answers people about every error; only what ends the whole invocation is one of the function."""
    client, name = world.home.client("lambda"), f"{PREFIX}manual"
    allowed = client.get_function_configuration(FunctionName=name)["Timeout"]
    one = world.launch_one()
    client.update_function_configuration(FunctionName=name, Timeout=1)
    try:
        # Every call, since it begins no judgement for which it has no time.
        world.cloud.faults([{"latency_ms": 3000}])
        _fails(world, "manual", {"targets": [one.arn]})
    finally:
        world.cloud.faults()
        client.update_function_configuration(FunctionName=name, Timeout=allowed)


def _policy(**fields: Any) -> Callable[[World], object]:
    def write(world: World) -> None:
        world.set_policy({**GATES_OFF, **fields})
        world.revisit()

    return write


def _breaks(world: World, number: int) -> None:
    fleet = world.launch(number=number, account=MEMBERS[1])
    asked = world.ask({"targets": [one.arn for one in fleet], "dry_run": False, "caller": "e2e"})["results"]
    assert ["enforced"] * number == [each["status"] for each in asked]
    for one in fleet:
        world.reject(one)
    world.guard()


def _breaker_opens(world: World) -> None:
    _breaks(world, 3)


def _breaker_is_closed(world: World) -> None:
    world.ask({"close_breaker": {"account": MEMBERS[1]}, "dry_run": False, "caller": "e2e"})
    world.guard()


def _is_left_broken(world: World) -> None:
    world.set_policy({"mode": "enforce", "rollback": "alert"})
    _breaks(world, 1)


def _is_put_back(world: World) -> None:
    """By a person, for all that was changed in the account."""
    world.ask({"undo": {"account": MEMBERS[1]}, "dry_run": False, "caller": "e2e"})
    world.guard()


def _sweep(world: World, *accounts: str, dry_run: bool = True) -> tuple[str, str]:
    """Sweep one Region of accounts: the ARN of the execution, and how it ended."""
    order = {"accounts": accounts, "regions": ["us-east-1"], "dry_run": dry_run}
    machine, client = world.cloud.outputs["SweepStateMachineArn"], world.home.client("stepfunctions")
    execution = client.start_execution(stateMachineArn=machine, input=json.dumps(order))["executionArn"]

    def look() -> str | None:
        status = client.describe_execution(executionArn=execution)["status"]
        return None if status == "RUNNING" else str(status)

    return execution, eventually(look, "the end of a sweep")


def _sweep_of_nobody(world: World) -> None:
    assert "FAILED" == _sweep(world, UNKNOWN_ACCOUNT)[1]


def _sweep_of_somebody(world: World) -> None:
    assert "SUCCEEDED" == _sweep(world, MEMBERS[0])[1]


def _nightly_sweep(*accounts: str) -> Callable[[World], None]:
    """As if these were all accounts and this were the only Region: a sweep of every Region starts a function for each of them at once.

    Its order is said to be one for everything, and its last step is run again.
    """

    def sweep(world: World) -> None:
        arn, status = _sweep(world, *accounts, dry_run=False)
        assert "SUCCEEDED" == status
        execution = arn.rpartition(":")[2]
        history = world.home.client("stepfunctions").get_execution_history(executionArn=arn)["events"]
        entered = [each["stateEnteredEventDetails"] for each in history if "stateEnteredEventDetails" in each]
        given = json.loads(next(each["input"] for each in entered if each["name"] == "Summarise"))
        bucket = world.cloud.outputs["SweepBucketName"]
        world.home.client("s3").put_object(Bucket=bucket, Key=f"{execution}/order.json", Body=b'{"whole": true}')
        step = {"step": "summarise", "execution": execution, "manifest": given["map"]["ResultWriterDetails"]["Key"]}
        world.invoke(f"{PREFIX}sweep", {**step, "dry_run": False, "unreachable": given["unreachable"]})

    return sweep


def _unreachable_is_left_out(world: World) -> None:
    """As the runbook says: the account still cannot be entered."""
    world.set_policy({**GATES_OFF, "exclude_accounts": [UNKNOWN_ACCOUNT]})
    _nightly_sweep(MEMBERS[0], UNKNOWN_ACCOUNT)(world)


def _sweep_is_long_ago(world: World) -> None:
    ended = (datetime.now(UTC) - timedelta(hours=31)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    key = {"pk": {"S": "sweep"}, "sk": {"S": "current"}}
    table = world.cloud.outputs["LedgerTableName"]
    world.home.client("dynamodb").put_item(TableName=table, Item={**key, "ended_at": {"S": ended}})
    world.guard()


def _sweep_has_ended(world: World) -> None:
    _nightly_sweep(MEMBERS[0])(world)
    world.guard()


def _metrics_of(world: World, name: str) -> list[Mapping[str, Any]]:
    [alarm] = world.home.client("cloudwatch").describe_alarms(AlarmNames=[f"{PREFIX}{name}"])["MetricAlarms"]
    return [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]


def _published(name: str, *ages: int) -> Callable[[World], None]:
    """AWS publishes the last of the alarm's metrics, so many seconds ago each."""

    def publish(world: World) -> None:
        metric = _metrics_of(world, name)[-1]
        world.home.client("cloudwatch").put_metric_data(
            Namespace=metric["Namespace"],
            MetricData=[
                {
                    "MetricName": metric["MetricName"],
                    "Dimensions": metric["Dimensions"],
                    "Value": 1,
                    "Timestamp": datetime.now(UTC) - timedelta(seconds=age),
                }
                for age in ages
            ],
        )

    return publish


def _looks_for_aggregators(world: World) -> None:
    action = {"ActionId": "RequireIMDSv2", "Name": "Require IMDSv2", "Description": "x"}
    world.invoke(f"{PREFIX}custom-action", {"keep": action})


def _aggregate_in(region: str) -> Callable[[World], None]:
    def aggregate(world: World) -> None:
        hub = world.cloud.session(region=region).client("securityhub")
        hub.create_finding_aggregator(RegionLinkingMode="ALL_REGIONS")
        _looks_for_aggregators(world)

    return aggregate


ROWS = {
    "accounts-unreachable": Row(_nightly_sweep(MEMBERS[0], UNKNOWN_ACCOUNT), _unreachable_is_left_out),
    "breaker-open": Row(_breaker_opens, _breaker_is_closed),
    "events-lost": Row(_published("events-lost", 30), _nothing),
    "findings-dead-letters": Row(_dead_letter_of, lambda world: world.empty_dead_letters()),
    "findings-elsewhere": Row(_aggregate_in("us-east-1"), _aggregate_in("eu-west-1"), later=25 * HOUR),
    "findings-waiting": Row(_finding_waits, _findings_are_read, after=61 * MINUTE),
    "guard-silent": Row(_nothing, lambda world: world.guard(), after=16 * MINUTE),
    "invocations-dead-letters": Row(_keep_invocation, _forget_invocations),
    "left-broken": Row(_is_left_broken, _is_put_back),
    "manual-errors": Row(_manual_runs_out_of_time, _nothing),
    "policy-refused": Row(_policy(mode="sleep"), _policy(mode="enforce")),
    "revisit-silent": Row(_nothing, lambda world: world.revisit(), after=16 * MINUTE),
    "sweep-blind": Row(_sweep_of_nobody, _sweep_of_somebody),
    "sweep-failed": Row(_sweep_of_nobody, _nothing),
    "sweep-missing": Row(_sweep_is_long_ago, _sweep_has_ended),
    "throttled": Row(_published("throttled", 30, 330, 630), _nothing),
    **{f"{each}-errors": Row(_refused_by_dynamodb(each), _nothing) for each in FUNCTIONS},
}
