"""Executions of the service's state machines: started, followed to their end, and found again after Ctrl-C."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import code_of
from imdsv2_cli.failure import Failure, usage
from imdsv2_cli.output import note, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsv2_cli.base import App

_NONE = frozenset({"ExecutionDoesNotExist", "InvalidArn"})
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0


def start(app: App, machine: str, given: Mapping[str, Any]) -> str:
    """Start an execution; returns its ARN."""
    return str(
        app.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]
    )


def follow(
    app: App,
    execution: str,
    label: str,
    *,
    again: str,
    counts: Callable[[], tuple[int, int] | None],
    todo: str = "see docs/operations.md",
) -> dict[str, Any]:
    """The output of an execution once it has ended. ``counts``: how much is done, of how much; ``again``: the command that follows it
    anew; ``todo``: what to do if it failed. Raises Failure if it failed."""
    states, pause = app.client("stepfunctions"), _FIRST_PAUSE_SECONDS
    try:
        with progress(label, 100) as tick:
            shown = 0
            while (found := states.describe_execution(executionArn=execution))["status"] in {
                "RUNNING",
                "PENDING_REDRIVE",
            }:
                if (known := counts()) is not None and known[1]:
                    percent = 100 * known[0] // known[1]
                    tick(percent - shown)
                    shown = percent
                time.sleep(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)
    except BaseException as error:  # Whatever ends the watching, Ctrl-C or a lost network, ends nothing in AWS.
        if code_of(error) in _NONE:
            todo = "leave --execution out, and one is started"
            raise usage(f"there is no execution {execution[:200]}", todo=todo) from error
        note(f"It goes on without you. To follow it again: {again}")
        raise
    if found["status"] != "SUCCEEDED":
        raise Failure(
            f"the execution {execution} has {found['status'].lower().replace('_', ' ')}",
            str(found.get("cause") or found.get("error") or "")[:500],
            todo,
        )
    return dict(json.loads(found.get("output") or "{}"))


def places_done(app: App, execution: str) -> tuple[int, int] | None:
    """How many accounts and Regions of a sweep are done, of how many; None where that cannot be asked."""
    from botocore.exceptions import ClientError

    states = app.client("stepfunctions")
    try:
        runs = states.list_map_runs(executionArn=execution)["mapRuns"]
        counted = [states.describe_map_run(mapRunArn=each["mapRunArn"])["itemCounts"] for each in runs]
    except ClientError:
        return None
    return sum(each["succeeded"] + each["failed"] for each in counted), sum(each["total"] for each in counted)


def read_json(app: App, bucket: str, key: str) -> Any:
    """A result in the service's bucket. Raises ClientError."""
    return json.loads(app.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
