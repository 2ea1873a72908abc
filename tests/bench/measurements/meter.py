"""The functions' code at work in a process of its own, with a meter on every AWS call; started by `tests.bench.cost`.

Reads one job a line from standard input, a batch of queue messages (`{"records": [...]}`), an account and Region to sweep
(`{"account": ..., "region": ...}`) or a pass of the guard (`{"watched": <how many it must find>}`), and answers with one line of
JSON each: what of it AWS bills, by the names in `Usage`.

    python -I -S meter.py <asset>
"""

from __future__ import annotations

import io
import json
import math
import sys
import time
from collections import Counter
from threading import Lock
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, sys.argv[1])
# Before the functions' logger takes it: what they write is metered too.
answers, log = sys.stdout, io.StringIO()
sys.stdout = log

import botocore.client  # noqa: E402 - the asset has to be found first

import guard  # noqa: E402
import remediate  # noqa: E402
from imdsv2.sweep.run import Tally, go_through  # noqa: E402

WRITE_UNIT = 1024
READ_UNIT = 2 * 4096
"""Of a query: what may be behind by moments costs half."""
CONTEXT = SimpleNamespace(
    function_name="remediate",
    memory_limit_in_mb="1024",
    invoked_function_arn="arn:aws:lambda:eu-west-1:111111111111:function:remediate",
    aws_request_id="metered",
    get_remaining_time_in_millis=lambda: 900_000,
)

used: Counter[str] = Counter()
lock = Lock()
client_class: Any = botocore.client.BaseClient
call = client_class._make_api_call


def metered(client: Any, operation: str, params: dict[str, Any]) -> Any:
    """Make a call, and note what it costs."""
    answer = call(client, operation, params)
    with lock:
        used.update(costs(client.meta.service_model.service_name, operation, params, answer))
    return answer


def costs(service: str, operation: str, params: dict[str, Any], answer: dict[str, Any]) -> dict[str, int]:
    """The billed units of one call; those that cost nothing count as calls only."""
    match service, operation:
        case "cloudwatch", "GetMetricData":
            # A page further on is the same request.
            return {} if params.get("NextToken") else {"metrics": len(params["MetricDataQueries"])}
        case "dynamodb", "BatchGetItem":
            return {"items_read": sum(len(table["Keys"]) for table in params["RequestItems"].values())}
        case "dynamodb", "GetItem":
            return {"items_read": 1}
        case "dynamodb", "Query":
            # Billed by the size of all items together.
            return {"items_read": math.ceil(len(json.dumps(answer["Items"])) / READ_UNIT)}
        case "dynamodb", "UpdateItem":
            return {"write_units": 1}
        case "dynamodb", "PutItem":
            return {"write_units": units(params["Item"])}
        case "dynamodb", "TransactWriteItems":
            return dict(sum(map(writes, params["TransactItems"]), Counter()))
        case "sns", "Publish":
            return {"publishes": 1}
        case _:
            return {f"{service}:{operation}": 1}


def writes(action: dict[str, Any]) -> Counter[str]:
    """One action of a transaction, which costs twice; an index takes the old entry out and the new one in."""
    if "Put" in action:
        return Counter(write_units=2 * units(action["Put"]["Item"]))
    moved = {"revisit_at", "enforced_key"} & set(action["Update"].get("ExpressionAttributeNames", {}).values())
    return Counter(items_updated=1, write_units=2 * len(moved))


def units(item: dict[str, Any]) -> int:
    """Write units of an item, by its size on the wire, which is a little more than DynamoDB counts."""
    return math.ceil(len(json.dumps(item)) / WRITE_UNIT)


def do(job: dict[str, Any]) -> None:
    """One invocation."""
    if "records" in job:
        records = [{"messageId": str(index), "body": body} for index, body in enumerate(job["records"])]
        answer = remediate.handler({"Records": records}, CONTEXT)
        if answer["batchItemFailures"]:
            raise RuntimeError(f"{len(answer['batchItemFailures'])} messages failed")
        return
    if "watched" in job:
        done = guard.handler({}, CONTEXT)
        if done["watched"] != job["watched"]:
            raise RuntimeError(f"not the pass that was asked for: {done}")
        return
    service = remediate.function.service
    tally = go_through(
        service.line, service.members, Tally.from_document(job), "metered", dry_run=False, has_time=lambda: True
    )
    if tally.error or tally.failed:
        raise RuntimeError(f"{tally.failed} failed: {tally.error}")


def main() -> None:
    """Answer every job."""
    client_class._make_api_call = metered
    for order in sys.stdin:
        used.clear()
        log.truncate(log.seek(0))
        began = time.perf_counter()
        do(json.loads(order))
        seconds = time.perf_counter() - began
        answer = {**used, "seconds": round(seconds, 2), "log_bytes": len(log.getvalue())}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
