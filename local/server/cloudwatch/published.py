"""Metrics that AWS's services publish and ministack's do not: queues, executions of state machines, and metrics in functions' logs.

Functions write metrics into their logs in the embedded metric format, as CloudWatch Logs documents it: an object `_aws` names the
metrics, and the fields of the line have their values and dimensions.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import platform as ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json: TypeAlias = dict[str, Any]

OF_EXECUTIONS: Final = {
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
    "SUCCEEDED": "ExecutionsSucceeded",
}


def install() -> None:
    """Publish what ended executions and written logs say. Queues are measured when alarms are evaluated."""
    _listen_to_logs()
    _listen_to_executions()


def read(metric: Json, statistic: str, start: float, end: float) -> float | None:
    """A statistic of one metric over a period; None if it has no data point."""
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions") or []}
    key = (metric["Namespace"], metric["MetricName"], ms.cloudwatch._dims_key(dimensions))
    points = [each for each in ms.cloudwatch._metrics.get(key) or [] if start <= each["Timestamp"] < end]
    return float(ms.cloudwatch._calc_stats(points)[statistic]) if points else None


def put(namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
    """Publish a value in the account and Region of the current request."""
    bucket = ms.cloudwatch._metric_bucket((namespace, name, ms.cloudwatch._dims_key(dict(dimensions))))
    bucket.append({"Timestamp": time.time(), "Value": float(value), "Unit": "None", "Dimensions": dict(dimensions)})


def move_back(seconds: float) -> None:
    """Let time pass for what was published."""
    for points in ms.cloudwatch._metrics.values():
        for point in points:
            point["Timestamp"] -= seconds


def measure_queues(passed: float) -> None:
    """Publish how many messages wait in each queue, and the age of the oldest, as if so many seconds had passed."""
    at = time.time() + passed
    for queue in ms.sqs._queues.values():
        dimensions = {"QueueName": queue["attributes"]["QueueArn"].rpartition(":")[2]}
        sent = [message["sent_at"] for message in queue["messages"]]
        put("AWS/SQS", "ApproximateNumberOfMessagesVisible", len(sent), dimensions)
        put("AWS/SQS", "ApproximateAgeOfOldestMessage", max(0.0, at - min(sent, default=at)), dimensions)


def _listen_to_logs() -> None:
    emit = ms.lambda_svc._emit_lambda_logs

    def emit_and_publish(func: Json, request_id: str, log_text: str, *args: Any, **kwargs: Any) -> None:
        for line in (log_text or "").splitlines():
            for namespace, name, value, dimensions in _embedded(line):
                put(namespace, name, value, dimensions)
        emit(func, request_id, log_text, *args, **kwargs)

    ms.lambda_svc._emit_lambda_logs = emit_and_publish


def _embedded(line: str) -> Iterator[tuple[str, str, float, dict[str, str]]]:
    """The metrics that a line of a log publishes: namespace, name, value and dimensions of each."""
    if '"_aws"' not in line:
        return
    try:
        document = json.loads(line)
    except ValueError:
        return
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: str(document[name]) for name in names}
            for metric in directive["Metrics"]:
                found = document[metric["Name"]]
                for value in found if isinstance(found, list) else [found]:
                    yield directive["Namespace"], metric["Name"], value, dimensions


def _listen_to_executions() -> None:
    tell = ms.stepfunctions._emit_execution_status_event

    def tell_and_count(execution: Json) -> None:
        tell(execution)
        if (name := OF_EXECUTIONS.get(execution["status"])) and not execution.get("mapRunArn"):
            put("AWS/States", name, 1, {"StateMachineArn": execution["stateMachineArn"]})

    ms.stepfunctions._emit_execution_status_event = tell_and_count
