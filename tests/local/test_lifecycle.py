"""Starting and ending the local AWS."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import local.__main__ as command
from local.cloud.process import is_free
from local.cloud.run import ROOT, SECURITY, LocalCloud, LocalCloudError
from local.cloud.variables import OUTPUT_OF

ABANDON = "import os\nfrom local.cloud.run import LocalCloud\ncloud = LocalCloud()\ncloud.start()\nprint(cloud.port, flush=True)\nos._exit(1)"
PATIENCE_SECONDS = 10


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_listens_on_loopback_only_and_leaves_nothing() -> None:
    """Neither a process, nor a port, nor a file."""
    with LocalCloud() as cloud:
        group, port, scratch = cloud.pid, cloud.port, cloud.scratch
        assert _lives(group)
        listening = _listening()
        assert f"0100007F:{port:04X}" in listening
        assert f"00000000:{port:04X}" not in listening
    assert (False, True, False) == (_lives(group), is_free(port), scratch.exists())


def _listening() -> set[str]:
    """Addresses and ports that somebody listens on, as Linux writes them."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {fields[1] for fields in sockets if fields[3] == "0A"}


def test_it_ends_with_whoever_started_it() -> None:
    """Even if that one died on the spot."""
    died = subprocess.run([sys.executable, "-c", ABANDON], cwd=ROOT, capture_output=True, text=True, check=False)
    port = int(died.stdout)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (True, False) == (is_free(port), LocalCloud(port=port).scratch.exists())


def test_a_taken_port_is_refused() -> None:
    """Whatever answers there is not ours."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(LocalCloudError, match="is taken"):
        LocalCloud(port=taken.getsockname()[1]).start()


# `up` leaves its server behind on purpose, which Python takes for a mistake.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_up_env_and_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In the background with the stack deployed; `fleet` launches the demo's instances there; `env` prints what a client needs and nothing else; `down` ends it."""
    monkeypatch.setattr(command, "STATE", tmp_path / "up.json")
    monkeypatch.setenv("LOCAL_PORT", str(LocalCloud().port))
    command.up()
    try:
        command.up()
        command.fleet()
        group = json.loads(command.STATE.read_text())["pid"]
        assert "instances are launched" in capsys.readouterr().err
        command.env()
        exports = dict(line.removeprefix("export ").split("=", 1) for line in capsys.readouterr().out.splitlines())
        names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"}
        assert names | {"LEDGER_TABLE"} <= exports.keys() <= names | OUTPUT_OF.keys()
        identity = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
        client = {"PATH": os.environ["PATH"], **exports}
        asked = subprocess.run([sys.executable, "-c", identity], env=client, capture_output=True, text=True, check=True)
        assert SECURITY == asked.stdout.strip()
    finally:
        command.down()
    assert not _lives(group)


@pytest.mark.parametrize("asked", ["env", "fleet", "account"])
def test_it_says_what_to_do_when_nothing_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    """On standard error, with nothing for the shell to evaluate."""
    monkeypatch.setattr(command, "STATE", tmp_path / "up.json")
    monkeypatch.setattr(sys, "argv", ["local", asked])
    assert 1 == command.main()
    said = capsys.readouterr()
    assert ("", True) == (said.out, "make local-up" in said.err)


def test_an_unknown_command_is_told_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As usage."""
    monkeypatch.setattr(sys, "argv", ["local", "fly"])
    assert 2 == command.main()
    assert "up|down|env|fleet|account|demo" in capsys.readouterr().err
