"""The functions' code at work in a process of its own, with a meter on every AWS call; started by `tests.bench.cost`.

Reads one job a line from standard input, a batch of queue messages (`{"records": [...]}`), an account and Region to sweep
(`{"account": ..., "region": ...}`) or a pass of the guard (`{"watched": <how many it must find>}`), and answers with one line of
JSON each: what of it AWS bills, by the names in `Usage`.

    python -I -S meter.py <asset>
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

sys.path[:0] = [sys.argv[1], str(Path(__file__).parent)]
# Before the functions' logger takes it: what they write is metered too.
answers, log = sys.stdout, io.StringIO()
sys.stdout = log

import botocore.client  # noqa: E402 - the asset has to be found first
from billing import costs  # type: ignore[import-not-found]  # noqa: E402 - beside this file

import guard  # noqa: E402
import remediate  # noqa: E402
from imdsv2.sweep.run import go_through  # noqa: E402
from imdsv2.sweep.tally import Tally  # noqa: E402

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
        service.line, service.clients, Tally.from_document(job), "metered", dry_run=False, has_time=lambda: True
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
