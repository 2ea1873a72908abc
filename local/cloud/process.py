"""Processes and ports of this machine."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from typing import Final

END_SECONDS: Final = 10


def end_group(leader: int) -> None:
    """End a process and all that it started (its process group), first politely.

    ministack leaves busy Lambda workers behind when it ends, hence the group.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(leader, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + END_SECONDS
        while sign == signal.SIGTERM and time.monotonic() < deadline and _group_lives(leader):
            time.sleep(0.05)


def _group_lives(leader: int) -> bool:
    with suppress(ChildProcessError):
        # A child of ours that has ended stays in its group until we have asked for its end.
        os.waitpid(leader, os.WNOHANG)
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
