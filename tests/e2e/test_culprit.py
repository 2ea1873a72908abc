"""The command `culprit` on the local AWS: real processes call without a token, and are named by their command lines."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.run import HOME, MEMBERS, MEMBERS_UNIT, ORGANIZATION, LocalCloud
from tests.e2e import analyzer
from tests.e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.demo.fleet import Launched

HERE = MEMBERS[0]
MANAGED = {"local:ssm": "Linux"}
SHELL = 'while :; do curl -s "$IMDS/latest/meta-data/instance-id" >/dev/null; sleep 0.2; done\n'
PYTHON = """
import os, time, urllib.request
while True:
    urllib.request.urlopen(os.environ["IMDS"] + "/latest/meta-data/local-ipv4").read()
    time.sleep(0.2)
"""
WITH_TOKEN = """
import os, time, urllib.request
endpoint = os.environ["IMDS"]
wanted = {"X-aws-ec2-metadata-token-ttl-seconds": "600"}
token = urllib.request.urlopen(urllib.request.Request(endpoint + "/latest/api/token", method="PUT", headers=wanted)).read().decode()
while True:
    asked = urllib.request.Request(endpoint + "/latest/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token})
    urllib.request.urlopen(asked).read()
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The stack with the setting `capture`, and the artefact in a bucket of the member; what takes a minute takes twelve seconds."""
    with LocalCloud(environment={"SSM_TIME_SCALE": "0.2"}) as cloud:
        s3 = cloud.session(account=HERE).client("s3")
        s3.create_bucket(Bucket=analyzer.BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME})
        s3.put_object(Bucket=analyzer.BUCKET, Key=analyzer.KEY, Body=analyzer.packed())
        cloud.deploy(
            capture=analyzer.setting(HOME),
            organization_id=ORGANIZATION,
            organizational_units=[MEMBERS_UNIT],
            member_regions=[HOME],
            call_as="SELF",
        )
        world = World(cloud)
        world.switch_batching_window_off()
        world.stop_schedules()
        world.set_policy({"mode": "enforce"})
        yield world


@contextmanager
def runs(world: World, one: Launched, *command: str) -> Iterator[None]:
    """Software runs on an instance."""
    endpoint = world.cloud.imds(one.instance_id, account=HERE, region=HOME)
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], "IMDS": endpoint})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def watched(world: World, *several: Launched) -> dict[str, dict[str, Any]]:
    """What is answered of watching instances, by id."""
    asked = {"targets": [each.arn for each in several], "capture": True, "seconds": 60}
    answer = world.ask({"culprit": asked, "dry_run": False, "caller": "ada"})
    return {each["target"].rpartition("/")[2]: each for each in answer["results"]}


def test_every_planted_caller_is_named(world: World, tmp_path: Path) -> None:
    """By its command line; what uses tokens is not. `culprit.named`: all of them."""
    for name, text in (("backup.sh", SHELL), ("collector.py", PYTHON), ("modern.py", WITH_TOKEN)):
        (tmp_path / name).write_text(text)
    planted = {
        "backup.sh": ("/bin/sh", str(tmp_path / "backup.sh")),
        "collector.py": (sys.executable, str(tmp_path / "collector.py")),
    }
    fleet = dict(zip((*planted, "modern.py"), world.launch(number=3, tags=MANAGED, calls={30: 5}), strict=True))
    with ExitStack() as running:
        for name, command in planted.items():
            running.enter_context(runs(world, fleet[name], *command))
        running.enter_context(runs(world, fleet["modern.py"], sys.executable, str(tmp_path / "modern.py")))
        answers = watched(world, *fleet.values())
    found = {name: answers[one.instance_id] for name, one in fleet.items()}
    states = {name: (each["capture"]["state"], each["capture"]["says"]) for name, each in found.items()}
    assert {"captured"} == {state for state, _ in states.values()}, states
    named = [name for name in planted if any(name in str(each) for each in found[name]["capture"]["processes"])]
    assert list(planted) == named, states
    assert ["curl"] == [each["name"] for each in found["backup.sh"]["capture"]["processes"]]
    assert [] == found["modern.py"]["capture"]["processes"]
    kept = world.ask({"culprit": {"targets": [fleet["collector.py"].arn]}})["results"][0]["captured"]
    assert ("ada", found["collector.py"]["capture"]["processes"]) == (kept["caller"], kept["processes"])
    assert found["collector.py"]["when"]["calls"] > 5


def test_an_instance_without_systems_manager_gets_the_commands(world: World) -> None:
    """And nothing is run."""
    [one] = world.launch(calls={30: 5})
    result = watched(world, one)[one.instance_id]
    assert "refused" == result["capture"]["state"]
    assert "imds_snoop.py" in " ".join(result["capture"]["by_hand"])


def test_another_artefact_is_not_run(world: World) -> None:
    """Its digest is another."""
    s3 = world.cloud.session(account=HERE).client("s3")
    s3.put_object(Bucket=analyzer.BUCKET, Key=analyzer.KEY, Body=b"something else")
    try:
        [one] = world.launch(tags=MANAGED, calls={30: 5})
        result = watched(world, one)[one.instance_id]
    finally:
        s3.put_object(Bucket=analyzer.BUCKET, Key=analyzer.KEY, Body=analyzer.packed())
    assert "failed" == result["capture"]["state"]
    assert "SHA-256 is another" in result["capture"]["says"]
