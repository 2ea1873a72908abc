"""Plants real software on instances of the local AWS, and has the service watch them."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.cloud.run import HOME, MEMBERS, LocalCloud
from local.demo import analyzer, software
from tests.e2e.world import OF_AN_ORGANIZATION, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from local.demo.fleet import Launched

HERE = MEMBERS[0]
MANAGED = {"local:ssm": "Linux"}
CALLED = {30: 5}
"""What an instance asked of IMDSv1 before, so that it is held."""

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
CALLERS = ("backup.sh", "collector.py")
"""Software that calls without a token, by its file."""
MODERN = {"modern.py": (sys.executable, WITH_TOKEN)}
"""Software that uses tokens, which nobody may name."""


@dataclass(frozen=True, kw_only=True)
class Planting:
    """What was planted, and what was answered about each, by the file of the software."""

    fleet: Mapping[str, Launched]
    found: Mapping[str, Mapping[str, Any]]

    @property
    def named(self) -> list[str]:
        """The callers that were named by their command lines."""
        return [name for name in CALLERS if any(name in str(each) for each in self.processes(name))]

    def processes(self, name: str) -> list[dict[str, Any]]:
        """What was named on the instance of a software."""
        return list(self.found[name]["capture"].get("processes", []))


@contextmanager
def deployed(time_scale: float = 0.2) -> Iterator[World]:
    """The stack with the setting `capture`, and the artefact in a bucket of the member; what takes a minute takes twelve seconds, or another
    share of it."""
    with LocalCloud(environment={"SSM_TIME_SCALE": str(time_scale)}) as cloud:
        cloud.session(account=HERE).client("s3").create_bucket(
            Bucket=analyzer.BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME}
        )
        cloud.deploy(
            capture=analyzer.setting(HOME),
            **OF_AN_ORGANIZATION,
        )
        world = World(cloud)
        world.switch_batching_window_off()
        world.stop_schedules()
        world.set_policy({"mode": "enforce"})
        upload(world, analyzer.packed())
        yield world


def upload(world: World, artefact: bytes) -> None:
    """Put an artefact where the setting says."""
    s3 = world.cloud.session(account=HERE).client("s3")
    s3.put_object(Bucket=analyzer.BUCKET, Key=analyzer.KEY, Body=artefact)


def plant(world: World, folder: Path) -> Planting:
    """Launch an instance for each software, run it there, and have all watched meanwhile."""
    commands = {name: software.write(folder, name) for name in CALLERS}
    for name, (program, text) in MODERN.items():
        (folder / name).write_text(text)
        commands[name] = (program, str(folder / name))
    launched = world.launch(number=len(commands), tags=MANAGED, calls=CALLED)
    fleet = dict(zip(commands, launched, strict=True))
    with ExitStack() as running:
        for name, command in commands.items():
            running.enter_context(software.running(world.cloud, fleet[name], *command))
        answers = watched(world, *fleet.values())
    return Planting(fleet=fleet, found={name: answers[one.instance_id] for name, one in fleet.items()})


def watched(world: World, *several: Launched) -> dict[str, dict[str, Any]]:
    """What is answered of watching instances, by id."""
    asked = {"targets": [each.arn for each in several], "capture": True, "seconds": 60}
    answer = world.ask({"culprit": asked, "dry_run": False, "caller": "ada"})
    return {each["target"].rpartition("/")[2]: each for each in answer["results"]}
