"""The process of a function of the local AWS, found and killed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.world import eventually

if TYPE_CHECKING:
    from tests.e2e.world import World

FUNCTION = "imdsv2-remediation-remediate"
HANGS_MS = 4_000


def kill(server: int, function: str) -> None:
    """Send SIGKILL to the processes of a function that the server has started. Raises LookupError if there are none."""
    wanted = f"AWS_LAMBDA_FUNCTION_NAME={function}".encode()
    found = [pid for pid in _descendants(server) if wanted in _read(pid, "environ").split(b"\0")]
    if not found:
        raise LookupError(function)
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def killed_in(world: World, body: str, action: str, nth: int = 1) -> None:
    """Have a message processed, and kill the function while AWS answers that call of it."""
    world.cloud.calls(reset=True)
    world.cloud.faults([{"action": action, "latency_ms": HANGS_MS, "only_after": nth - 1, "times": 1}])
    failed: list[BaseException] = []

    def process() -> None:
        try:
            world.remediate(body)
        except AssertionError as error:  # Lambda says that the function has ended.
            failed.append(error)

    thread = threading.Thread(target=process)
    thread.start()
    eventually(lambda: True if world.calls(action) >= nth else None, f"{action} #{nth}")
    kill(world.cloud.pid, FUNCTION)
    thread.join()
    world.cloud.faults()
    assert failed, "the function went on"


def _descendants(parent: int) -> list[int]:
    """Processes that a process has started, directly or not."""
    parents = {
        int(each.name): int(stat.rpartition(b")")[2].split()[1])
        for each in Path("/proc").iterdir()
        if each.name.isdigit() and (stat := _read(int(each.name), "stat"))
    }
    found = [parent]
    for pid in found:
        found += [child for child, its_parent in parents.items() if its_parent == pid]
    return found[1:]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""  # It has ended meanwhile, or is not ours.
