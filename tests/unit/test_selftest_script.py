"""The user data: it calls when it should, says what came of it, and ends the instance."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from imdsv2.selftest.agenda import CALLER, INSTANCES, Agenda
from imdsv2.selftest.script import reported_calls, user_data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_USER_DATA = 16_384
TOKEN = "x-aws-ec2-metadata-token"


class Metadata(BaseHTTPRequestHandler):
    """A metadata service that requires tokens."""

    def do_PUT(self) -> None:
        self._answer(200, b"a-token")

    def do_GET(self) -> None:
        self._answer(200 if self.headers.get(TOKEN) == "a-token" else 401, b"i-0123456789abcdef0")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """In silence."""


@pytest.fixture
def imds() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """`shutdown` and `cp` that only say that they were called."""
    for name in ("shutdown", "cp"):
        (tmp_path / name).write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/{name}.said\n')
        (tmp_path / name).chmod(0o755)
    return tmp_path


def run(script: str, tools: Path, imds: str) -> str:
    """What the script writes to the console."""
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "IMDS": imds, "CONSOLE": str(tools / "console")}
    (tools / "user-data").write_text(script)
    subprocess.run(["bash", tools / "user-data"], env=environment, check=True, timeout=60)
    return (tools / "console").read_text() if (tools / "console").exists() else ""


def test_it_calls_reports_and_has_the_instance_shut_down(tools: Path, imds: str) -> None:
    """With real calls to a metadata service; the calls before its start are left out, as after a reboot."""
    agenda = Agenda(began_at=datetime.now(UTC) - timedelta(seconds=0.9), minute_seconds=0.1, line_at=None)
    calls = reported_calls(CALLER, run(user_data(agenda, CALLER), tools, imds))
    assert {("boot", 0), ("v1", 401), ("v2", 200)} == {(call.kind, call.status) for call in calls}
    assert all(agenda.began_at <= call.at <= datetime.now(UTC) for call in calls)
    assert "-h +1" == (tools / "shutdown.said").read_text().strip()


def test_a_restart_after_the_end_shuts_down_at_once(tools: Path, imds: str) -> None:
    """Nothing is called any more."""
    agenda = Agenda(began_at=datetime.now(UTC) - timedelta(hours=5), minute_seconds=60, line_at=None)
    reported = reported_calls(CALLER, run(user_data(agenda, CALLER), tools, imds))
    assert [("boot", 0)] == [(call.kind, call.status) for call in reported]
    assert "-h +0" == (tools / "shutdown.said").read_text().strip()


def test_it_keeps_a_copy_of_itself_for_the_next_boot(tools: Path, imds: str) -> None:
    """User data runs at the first boot only; the instance is rebooted and restarted."""
    agenda = Agenda(began_at=datetime.now(UTC) - timedelta(hours=5), minute_seconds=60, line_at=None)
    run(user_data(agenda, CALLER), tools, imds)
    assert "/var/lib/cloud/scripts/per-boot/" in (tools / "cp.said").read_text()


@pytest.mark.parametrize("role", INSTANCES)
def test_it_fits_and_is_valid(role: str, tools: Path) -> None:
    """EC2 takes 16 KB, and bash understands it."""
    agenda = Agenda(began_at=datetime(2027, 6, 2, 9, 1, tzinfo=UTC), minute_seconds=60, line_at=600)
    script = user_data(agenda, role)
    assert script.startswith("#!/bin/bash\n")
    assert len(script) < LONGEST_USER_DATA
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_other_words_on_the_console_are_no_calls() -> None:
    """Kernel and cloud-init write there too."""
    console = (
        "[  12.3] imdsv2-selftest v3 5 200\nimdsv2-selftest v1 1800000000 200\r\n<6>imdsv2-selftest v2 1800000060 000\n"
    )
    assert [("v1", 200), ("v2", 0)] == [(call.kind, call.status) for call in reported_calls(CALLER, console)]
