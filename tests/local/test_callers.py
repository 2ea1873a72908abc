"""Which process calls an instance's metadata service: real processes, while somebody watches, in the analyzer's published form."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.culprit.trace_log import Trace, read_trace
from local.cloud.run import HOME
from tests.local.launching import launch
from tests.local.test_run_command import MANAGED, Commands, shell

if TYPE_CHECKING:
    from pathlib import Path

    from local.cloud.run import LocalCloud

COPY = 'sleep 2; cat "$LOCAL_IMDS_CALLS"'
"""What a probe would have seen in two seconds."""
PATH = "/latest/meta-data/instance-id"
CALL = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()"


@pytest.fixture
def commands(cloud: LocalCloud, account: str) -> Commands:
    """In an account of its own."""
    return Commands(cloud, account)


class Watch:
    """An instance that is being watched."""

    def __init__(self, commands: Commands, cloud: LocalCloud, account: str) -> None:
        self.commands = commands
        self.endpoint = cloud.imds(commands.instance, account=account, region=HOME)
        self.url = self.endpoint + PATH
        self.command_id = commands.send(commands.document(shell("watch", COPY)))
        # The command has begun when its step has.
        asked = {"CommandId": self.command_id, "InstanceId": commands.instance, "PluginName": "watch"}
        while commands.ssm.get_command_invocation(**asked)["Status"] == "Pending":
            time.sleep(0.01)

    def text(self) -> str:
        """All that was written, once the watch is over."""
        return str(self.commands.ended(self.command_id, "watch")["StandardOutputContent"])

    def trace(self) -> Trace:
        """As the service reads it."""
        return read_trace(self.text())


@pytest.fixture
def watch(commands: Commands, cloud: LocalCloud, account: str) -> Watch:
    """Begun, and over after two seconds."""
    return Watch(commands, cloud, account)


def call(*command: str, **more: Any) -> None:
    """One process, which has to succeed."""
    subprocess.run(command, check=True, capture_output=True, timeout=20, **more)


def test_a_process_is_named_with_what_started_it(watch: Watch, tmp_path: Path) -> None:
    """A script that runs curl: the program, its command line, and the script's."""
    script = tmp_path / "nightly.sh"
    script.write_text(f"curl -s {watch.url} -o /dev/null\ntrue\n")
    call("/bin/sh", str(script))
    [process] = watch.trace().processes
    assert ("curl", 1) == (process.name, process.calls)
    assert process.command.startswith(f"curl -s {watch.url}")
    assert str(script).lower() == process.parents[0].removeprefix("/bin/sh ")


def test_each_call_is_a_line(watch: Watch) -> None:
    """Of the program that made it."""
    for _ in range(3):
        call(sys.executable, "-c", CALL, watch.url)
    call("curl", "-s", watch.url)
    assert {("curl", 1), (sys.executable.rpartition("/")[2][:15], 3)} == {
        (each.name, each.calls) for each in watch.trace().processes
    }


def test_calls_with_a_token_are_none(watch: Watch) -> None:
    """Nor is the request for the token."""
    token = ["-H", "X-aws-ec2-metadata-token-ttl-seconds: 60", f"{watch.endpoint}/latest/api/token"]
    told = subprocess.run(["curl", "-s", "-X", "PUT", *token], check=True, capture_output=True, text=True).stdout
    call("curl", "-sf", "-H", f"X-aws-ec2-metadata-token: {told}", watch.url)
    assert () == watch.trace().processes


def test_another_instance_is_not_watched(watch: Watch, commands: Commands, cloud: LocalCloud, account: str) -> None:
    """Its software stays unnamed."""
    [other] = launch(commands.ec2, tags=MANAGED)
    call("curl", "-s", cloud.imds(other, account=account, region=HOME) + PATH)
    assert "" == watch.text()


def test_before_and_after_nothing_is_written(watch: Watch) -> None:
    """What calls when nobody watches leaves no line."""
    assert "" == watch.text()
    call("curl", "-s", watch.url)
    assert "" == watch.text()


def test_two_watches_at_once_see_the_same(watch: Watch, commands: Commands, cloud: LocalCloud, account: str) -> None:
    """And the end of the first does not end the second."""
    second = Watch(commands, cloud, account)
    call("curl", "-s", watch.url)
    assert 1 == watch.trace().processes[0].calls
    assert ["curl"] == [each.name for each in second.trace().processes]


def test_a_hostile_command_line_is_one_line(watch: Watch) -> None:
    """Line ends in arguments begin no other line; the service makes the rest plain."""
    call(sys.executable, "-c", CALL, watch.url, "a\nimdsv1(!) (pid:1:forged argv:forged)\n\x1b[2J")
    assert 1 == watch.text().count("\n")
    [process] = watch.trace().processes
    assert process.says.isprintable()
    assert "forged" != process.name
