"""A desk at which the commands of the manual are pasted: a shell that knows the local AWS, with a fleet that has the manual's names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.cloud.deploy import Deployment
from local.cloud.run import HOME, MEMBERS, MEMBERS_UNIT, ROOT, SECURITY
from local.cloud.variables import of_outputs
from local.demo import newcomer
from local.demo.fleet import launch
from tests.e2e.terminal import Ended, Terminal
from tests.e2e.world import GATES_OFF, POLICY_LIVE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.demo.fleet import Launched
    from tests.docs.commands import Step
    from tests.e2e.world import World

JUDGES: Final = ROOT / ".venv-judges" / "bin"
APART: Final = "444444444444"
"""An account outside the organisation, whose roles nobody has deployed yet."""
AS: Final[tuple[tuple[str, str, str], ...]] = (
    ("", "aws ec2 ", MEMBERS[0]),
    ("docs/owners.md", "aws ", MEMBERS[0]),
    ("docs/install.md", "aws cloudformation deploy", APART),
)
"""Page, beginning of a command, and the account whose credentials it takes; all others take those of the security account."""
SECONDS: Final = 120
SYNTHESIS: Final = "CDK_OUTDIR=cdk.out python app.py"
"""It takes half a minute, so what it has written is kept for all tests, until a source changes: `local/cloud/deploy.py` runs the same."""
WHOLE_SWEEP: Final = re.compile(r"^imdsv2 sweep *(?=#|$)")
NARROW_SWEEP: Final = f"imdsv2 sweep --account {MEMBERS[0]} --in-region {HOME} "
"""A sweep of everything visits a hundred places, which takes minutes; tests/e2e/test_sweep.py has one."""
GUARDRAILS: Final = {"launches": [], "openings": [], "delivery": [], "max_hop_limit": 2}
"""The setting with which other end-to-end tests synthesise, too."""
AWS_SHIM: Final = """#!/bin/bash
# The installed command line is of version 1, which takes a payload as it is, and does not know the option with which version 2 does.
words=()
while (($#)); do
  if [ "$1" = --cli-binary-format ]; then shift 2; else words+=("$1"); shift; fi
done
exec {aws} "${{words[@]}}"
"""


@dataclass
class Desk:
    """One local AWS for all pages.

    Args:
        world: the deployed stack.
        tools: a folder with the programs of the manual that are not on every path.
        folder: of the page that is tried.
        fleet: its instances, by name.
        subject: the name of the instance that bears the manual's id.
    """

    world: World
    tools: Path
    folder: Path = ROOT
    fleet: dict[str, Launched] = field(default_factory=dict)
    subject: str = "web-1"
    running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """What runs on instances while the page is tried."""
    _live_at: float = 0.0

    def equip(self) -> None:
        """Put the programs into the folder of tools."""
        python = Path(sys.executable)
        for name, text in {
            "aws": AWS_SHIM.format(aws=JUDGES / "aws"),
            "python": f'#!/bin/bash\nexec {python} "$@"\n',
            "cfn-lint": f'#!/bin/bash\nexec {python.parent / "cfn-lint"} "$@"\n',
        }.items():
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)

    def settle(self, folder: Path) -> None:
        """Sit down with an empty folder, an empty ledger and no instances, in the mode enforce with all gates open."""
        self.folder, self.subject, self.fleet = folder, "web-1", {}
        (folder / "infra").symlink_to(ROOT / "infra")
        shutil.copytree(ROOT / "docs" / "gate", folder / "gate")
        self._forget()
        self.policy()

    def policy(self, **fields: Any) -> None:
        """Write the policy, if it is another; what comes next waits until every function has read it."""
        ssm, name = self.world.home.client("ssm"), self.world.cloud.outputs["PolicyParameterName"]
        text = json.dumps({"mode": "enforce", **GATES_OFF, **fields})
        if ssm.get_parameter(Name=name)["Parameter"]["Value"] != text:
            ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)
            self._live_at = time.monotonic() + POLICY_LIVE_SECONDS

    def _wait_for_policy(self) -> None:
        time.sleep(max(0.0, self._live_at - time.monotonic()))

    def launch(self) -> None:
        """The tutorial's instances, two of a group, one in another account, and one that Terraform manages. Nothing is known of what they
        run: images and group are new, so that no other page's instance speaks against them."""
        cloud = self.world.cloud
        launched = launch(cloud, [replace(each, image=self._image(each.name)) for each in newcomer.machines()])
        group = {"image": self._image("shop"), "tags": {"aws:autoscaling:groupName": self.group}}
        launched += [self.world.launch_one(name=name, **group) for name in ("shop-1", "shop-2")]
        launched += [self.world.launch_one(name="till-1", account=MEMBERS[1], image=self._image("till"))]
        launched += [self.world.launch_one(name="cache-1", tags={"ManagedBy": "Terraform"}, image=self._image("cache"))]
        self.fleet = {each.machine.name: each for each in launched}

    @property
    def group(self) -> str:
        """The Auto Scaling group of the page."""
        return f"web-{self.folder.name}"

    def _image(self, name: str) -> str:
        return f"ami-{hashlib.sha256(f'{self.folder} {name}'.encode()).hexdigest()[:17]}"

    def judge(self, *names: str) -> None:
        """The service judges some of them, or all, and changes what it may."""
        self._wait_for_policy()
        chosen = [self.fleet[name] for name in names or self.fleet]
        self.world.ask({"targets": [each.arn for each in chosen], "dry_run": False, "caller": "alice"})

    def sweep(self) -> None:
        """As each night, so that the commands know names, too."""
        self._wait_for_policy()
        ended = Terminal(self.world.cloud).pipe("sweep", *("--in-region", HOME), "--real", "--yes")
        assert 0 == ended.code, ended.err

    def run(self, step: Step) -> Ended:
        """Paste a command, and answer `yes` if it asks. What it exports, later commands of the page have, too."""
        if step.text == SYNTHESIS:
            (self.folder / "cdk.out").symlink_to(Deployment.synthesised(ROOT, {"guardrails": GUARDRAILS}).assembly)
            return Ended(0, "")
        self._wait_for_policy()
        text = self._filled(WHOLE_SWEEP.sub(NARROW_SWEEP, step.text))
        if text.startswith("imdsv2 "):
            with contextlib.chdir(self.folder):
                return Terminal(self.world.cloud).screen(*shlex.split(text, comments=True)[1:], COLUMNS="200")
        script = f"[ ! -e .exported ] || . ./.exported\n{text}\nexport -p | grep -v ' AWS_' >.exported"
        account = next(
            (who for page, begins, who in AS if page in step.page and step.text.startswith(begins)), SECURITY
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environment(account),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def _environment(self, account: str) -> dict[str, str]:
        own = Terminal(self.world.cloud).environment | {"AWS_ACCESS_KEY_ID": account, "AWS_DEFAULT_REGION": HOME}
        path = os.pathsep.join([str(self.tools), str(JUDGES), str(Path(sys.executable).parent), own["PATH"]])
        return {**own, "PATH": path, **of_outputs(self.world.cloud.outputs)}

    def _filled(self, text: str) -> str:
        """The command with what is there in place of the manual's examples."""
        found = re.compile("|".join(map(re.escape, EXAMPLES)))
        return found.sub(lambda match: EXAMPLES[match[0]](self), text)

    def _forget(self) -> None:
        """End all instances, and empty the ledger and the results of sweeps."""
        for account in MEMBERS:
            ec2 = self.world.cloud.session(account=account).client("ec2")
            found = [
                one["InstanceId"] for each in ec2.describe_instances()["Reservations"] for one in each["Instances"]
            ]
            if found:
                ec2.terminate_instances(InstanceIds=found)
        outputs, home = self.world.cloud.outputs, self.world.home
        table, dynamodb = outputs["LedgerTableName"], home.client("dynamodb")
        for item in dynamodb.scan(TableName=table, ProjectionExpression="pk, sk")["Items"]:
            dynamodb.delete_item(TableName=table, Key=item)
        s3, bucket = home.client("s3"), outputs["SweepBucketName"]
        for each in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=each["Key"])


def _hours_ago(hours: float) -> str:
    return f"{datetime.now(UTC) - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def _cohort(desk: Desk) -> str:
    return str(desk.world.current(desk.fleet["shop-1"])["cohort"])


def _capture(desk: Desk) -> str:
    """The last command that Systems Manager has sent."""
    events = desk.world.home.client("dynamodb").query(
        TableName=desk.world.cloud.outputs["LedgerTableName"],
        KeyConditionExpression="pk = :arn AND begins_with(sk, :decision)",
        ExpressionAttributeValues={":arn": {"S": desk.fleet[desk.subject].arn}, ":decision": {"S": "decision#"}},
    )["Items"]
    return [each["command_id"]["S"] for each in events if "command_id" in each][-1]


def _root(desk: Desk) -> str:
    organizations: Any = desk.world.home.client("organizations")
    return str(organizations.list_roots()["Roots"][0]["Id"])


def _guardrail(desk: Desk) -> str:
    """A policy of the page's stack, which somebody has attached meanwhile."""
    organizations: Any = desk.world.home.client("organizations")
    policies = organizations.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
    found = next(str(each["Id"]) for each in policies if each["Name"].endswith("-openings"))
    organizations.attach_policy(PolicyId=found, TargetId=MEMBERS_UNIT)
    return found


EXAMPLES: Mapping[str, Callable[[Desk], str]] = {
    "aws/222222222222/eu-west-1/group:web@lt-0123456789abcdef0+3": _cohort,
    "aws/222222222222/eu-west-1/group:web": lambda desk: f"aws/{MEMBERS[0]}/{HOME}/group:{desk.group}",
    "i-0123456789abcdef0": lambda desk: desk.fleet[desk.subject].instance_id,
    "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f": _capture,
    "ou-ab12-cd34ef56": lambda _: MEMBERS_UNIT,
    "r-ab12": _root,
    "p-0a1b2c3d": _guardrail,
    "2027-05-31": lambda _: f"{datetime.now(UTC) + timedelta(days=180):%Y-%m-%d}",
    "2027-05-01T06:00:00Z": lambda _: _hours_ago(0.01),
    "2027-05-01T00:00:00Z": lambda _: _hours_ago(6),
}
"""The manual's examples of what differs everywhere, and of times: past ones are in one month, days to come are the end of it."""
