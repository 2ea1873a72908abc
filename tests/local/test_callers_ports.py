"""Who calls a metadata service is told by both ends of the connection, where several share a port."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from local.server.imds import callers

if TYPE_CHECKING:
    from pathlib import Path

CALL = """
import socket, sys
caller = socket.socket()
caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
caller.bind(("127.0.0.1", int(sys.argv[1])))
caller.connect(("127.0.0.1", int(sys.argv[2])))
print("connected", flush=True)
sys.stdin.read()
"""
PLACE = ("222222222222", "eu-west-1", "i-0123456789abcdef0")


def listening() -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(30)
    return server


def free_port() -> int:
    with listening() as other:
        return int(other.getsockname()[1])


def test_two_processes_may_call_from_the_same_port(tmp_path: Path) -> None:
    """The kernel lends a port to several connections that lead elsewhere."""
    ours = free_port()
    lines = tmp_path / "calls.log"
    with ExitStack() as open_, callers.watching(PLACE, lines):
        processes = []
        for name in ("first", "second"):
            server = open_.enter_context(listening())
            served_at = int(server.getsockname()[1])
            command = [sys.executable, "-c", CALL, str(ours), str(served_at), name]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            open_.callback(process.communicate, timeout=30)
            assert process.stdout is not None
            assert b"connected\n" == process.stdout.readline()
            processes.append((process.pid, served_at))
        for _, served_at in processes:
            callers.note(PLACE, (ours, served_at), "/latest/meta-data/")
    told = [int(line.split("pid:")[1].split(":")[0]) for line in lines.read_text().splitlines()]
    assert [pid for pid, _ in processes] == told
