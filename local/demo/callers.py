"""The software that calls IMDSv1 on the demo's fleet while it is watched: planted on instances, and named by the service, on request."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config

from local.cloud.run import HOME
from local.demo import analyzer, software
from local.demo.fleet import ALPHA, SSM_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local.cloud.run import LocalCloud
    from local.demo.fleet import Launched

SECONDS: Final = 60
TIME_SCALE: Final = "0.06"
"""What takes a minute on an instance takes about four seconds here."""
SETTINGS: Final = {"capture": analyzer.setting(HOME), "quota_share": 1000}
"""The settings of the demo's stack that differ from cdk.json's: what is watched, and that nobody waits for quotas, which the local AWS does
not have."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Software that was planted on an instance, and whether the service named it. ``managed``: whether Systems Manager knows the instance."""

    instance: str
    software: str
    managed: bool
    state: str
    named: bool

    @property
    def is_expected(self) -> bool:
        """Where there is Systems Manager, it has to be named; where there is none, it has to be said so."""
        return self.named if self.managed else self.state == "refused"

    def as_json(self) -> dict[str, Any]:
        """The row for the result file."""
        return {**asdict(self), "expected": self.is_expected}


def prepare(cloud: LocalCloud) -> None:
    """Put the analyzer where the setting says, and deploy the document that runs it."""
    s3 = cloud.session(account=ALPHA).client("s3")
    s3.create_bucket(Bucket=analyzer.BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME})
    s3.put_object(Bucket=analyzer.BUCKET, Key=analyzer.KEY, Body=analyzer.packed())
    cloud.deploy_rules(ALPHA, **SETTINGS)


def watch(cloud: LocalCloud, fleet: Iterable[Launched]) -> list[Caller]:
    """Run the fleet's software, and ask which it is."""
    planted = [each for each in fleet if each.machine.runs is not None]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        for each in planted:
            command = software.write(Path(folder), str(each.machine.runs))
            running.enter_context(software.running(cloud, each, *command))
        found = _captures(cloud, planted)
    return [_caller(each, found[each.arn]) for each in planted]


def _captures(cloud: LocalCloud, planted: Sequence[Launched]) -> dict[str, dict[str, Any]]:
    asked = {"targets": [each.arn for each in planted], "capture": True, "seconds": SECONDS}
    payload = json.dumps({"culprit": asked, "dry_run": False, "caller": "demo"})
    # The functions must not be invoked twice.
    client = cloud.session().client("lambda", config=Config(read_timeout=900, retries={"total_max_attempts": 1}))
    answer = json.load(client.invoke(FunctionName=cloud.outputs["ManualFunctionName"], Payload=payload)["Payload"])
    return {each["target"]: each["capture"] for each in answer["results"]}


def _caller(one: Launched, capture: dict[str, Any]) -> Caller:
    machine = one.machine
    commands = [each["command"] for each in capture.get("processes", [])]
    parents = [parent for each in capture.get("processes", []) for parent in each["parents"]]
    return Caller(
        instance=machine.name,
        software=str(machine.runs),
        managed=SSM_TAG in machine.tags,
        state=capture["state"],
        named=any(f"/{machine.runs}" in each for each in (*commands, *parents)),
    )
