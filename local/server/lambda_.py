"""Lambda beyond ministack: an interpreter of its own for functions, and event source mappings with a batching window."""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from local.server import platform as ms

if TYPE_CHECKING:
    from local.server.platform import Record

MOST_WITHOUT_WINDOW: Final = 10

# When the first message of a batch was seen, by account, Region and queue.
_window_opened: dict[tuple[str, str, str], float] = {}


def install() -> None:
    """Put the corrections in."""
    _run_functions_bare()
    ms.sqs._receive_messages_for_esm = _receive_batch


def _run_functions_bare() -> None:
    """A function finds only what its asset brings, never what the server has installed beside ministack."""
    detect = ms.lambda_runtime._detect_runtime_binary
    # The interpreter that the server's virtual environment was made with, without what is installed in there.
    bare = str(sys._base_executable)  # type: ignore[attr-defined]

    def binary(runtime: str) -> tuple[str, str]:
        found, script = detect(runtime)
        return (bare if runtime.startswith("python") else found), script

    ms.lambda_runtime._detect_runtime_binary = binary


def _receive_batch(queue_url: str, batch_size: int) -> list[Record]:
    """Messages for a mapping once its batch is full or its window over; ministack knows no window and no more than 10."""
    sqs = ms.sqs
    with sqs._queues_lock:
        queue = sqs._get_q(queue_url)
        sqs._expire_retained(queue)
        sqs._dlq_sweep(queue)
        now = time.time()
        waiting = sum(message["visible_at"] <= now for message in queue["messages"])
        window = _window(queue["attributes"]["QueueArn"])
        if not waiting or not _window_over(queue_url, window, full=waiting >= batch_size):
            return []
        most = int(batch_size) if window else min(int(batch_size), MOST_WITHOUT_WINDOW)
        messages: list[Record] = sqs._collect_msgs(queue, most, int(queue["attributes"].get("VisibilityTimeout", "30")))
        return messages


def _window(queue_arn: str) -> float:
    mappings: list[dict[str, Any]] = ms.lambda_svc._esms.values()
    return max(
        (
            float(each.get("MaximumBatchingWindowInSeconds") or 0)
            for each in mappings
            if each["EventSourceArn"] == queue_arn
        ),
        default=0,
    )


def _window_over(queue_url: str, window: float, *, full: bool) -> bool:
    key = (ms.account_id(), ms.region(), queue_url)
    opened = _window_opened.setdefault(key, time.time())
    if full or time.time() - opened >= window:
        del _window_opened[key]
        return True
    return False
