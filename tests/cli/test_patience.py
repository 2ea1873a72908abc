"""A function is asked once: a command that is repeated because its answer is slow would be carried out twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imdsv2_cli import base
from imdsv2_cli.base import App
from tests.cli.conftest import OUTPUTS, run

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).resolve().parents[2]


class Silence:
    """A server that takes requests and answers none; ``asked`` counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                connection.recv(65_536)
                self.asked += 1
                self._open.append(connection)

    def close(self) -> None:
        for each in (*self._open, self._listening):
            each.close()


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silence]:
    """In place of AWS, with credentials that anybody has, and a second's patience in place of a quarter of an hour."""
    server = Silence()
    monkeypatch.setattr(base, "LONGEST_ANSWER_SECONDS", 1)
    monkeypatch.setattr(App, "outputs", OUTPUTS)
    monkeypatch.setattr(App, "caller", "arn:aws:iam::111111111111:user/alice")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_MAX_ATTEMPTS": "5",
    }.items():
        monkeypatch.setenv(name, value)
    yield server
    server.close()


def test_a_command_whose_answer_does_not_come_is_not_sent_again(silence: Silence) -> None:
    """Whatever the caller's own configuration says of retries; the message says what to do instead."""
    done = run("close-breaker", "--account", "222222222222", "--yes")
    assert (1, 1) == (done.exit_code, silence.asked), done.stderr
    assert "look with imdsv2 status before you ask again" in done.stderr


def test_the_longest_run_of_a_function_is_waited_for() -> None:
    """Lambda ends it after 15 minutes."""
    assert 15 * 60 < base.LONGEST_ANSWER_SECONDS < 16 * 60


@pytest.mark.parametrize(
    "args",
    [
        ["assess", *(f"arn:aws:ec2:eu-west-1:222222222222:instance/i-{number:017x}" for number in range(1001))],
        ["close-breaker", "--account", "222222222222"],
    ],
)
def test_ctrl_c_waits_for_no_answer(silence: Silence, args: list[str]) -> None:
    """Neither for the function's nor for those of the threads that ask it beside each other."""
    code = (
        # Who runs the tests in the background of a shell has Ctrl-C ignored, and so would the command.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from imdsv2_cli import main; from imdsv2_cli.base import App;"
        f"App.outputs = {OUTPUTS!r}; App.caller = 'arn:aws:iam::111111111111:user/alice';"
        "main.main()"
    )
    path = os.pathsep.join(str(ROOT / each) for each in ("cli", "lambdas"))
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 30
        while not silence.asked and time.monotonic() < until:
            time.sleep(0.05)
        assert silence.asked
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (130, "") == (process.returncode, out)
    assert ["imdsv2: stopped; what AWS was already asked to do goes on, the rest is left undone."] == err.split("\n")[
        1:-1
    ]
