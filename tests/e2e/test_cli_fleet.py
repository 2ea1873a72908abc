"""The fleet on the command line: after a sweep and before one, in a pipe, as whoever operates the service sees it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.run import HOME, MEMBERS, SECURITY
from local.demo.fleet import launch
from local.demo.stories import machines
from tests.e2e.world import eventually

if TYPE_CHECKING:
    from tests.e2e.world import World

ROOT = Path(__file__).parents[2]


@pytest.fixture
def imdsv2(world: World) -> Any:
    """Runs the command line against the local AWS; fails unless it ends as told."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {
        **kept,
        "PYTHONPATH": f"{ROOT / 'cli'}:{ROOT / 'lambdas'}",
        "AWS_ACCESS_KEY_ID": SECURITY,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": HOME,
        "AWS_ENDPOINT_URL": world.cloud.endpoint,
    }

    def run(*args: str, code: int = 0) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "imdsv2_cli", *args], env=environment, capture_output=True, text=True, check=False
        )
        assert code == ended.returncode, ended.stdout + ended.stderr
        return ended.stdout if code == 0 else ended.stderr

    return run


def sweep(world: World, **order: Any) -> None:
    """A sweep of the member accounts, to its end."""
    states = world.home.client("stepfunctions")
    asked = {"accounts": list(MEMBERS), "regions": [HOME], **order}
    started = states.start_execution(
        stateMachineArn=world.cloud.outputs["SweepStateMachineArn"], input=json.dumps(asked)
    )["executionArn"]

    def look() -> str | None:
        status = str(states.describe_execution(executionArn=started)["status"])
        return status if status != "RUNNING" else None

    assert "SUCCEEDED" == eventually(look, "the end of the sweep")


def listed(text: str) -> dict[str, dict[str, str]]:
    """The rows of a list in CSV, by instance id."""
    return {each["instance_id"]: each for each in csv.DictReader(io.StringIO(text))}


def test_the_fleet_of_a_day(world: World, imdsv2: Any, tmp_path: Path) -> None:
    """From an empty installation to a held and an enforced instance: each command says what is so."""
    assert "empty" in imdsv2("status") or "allow IMDSv1" in imdsv2("status")
    busy = world.launch_one(account=MEMBERS[0], calls={4: 2})
    sweep(world, dry_run=True)
    rows = listed(imdsv2("list", "-o", "csv", "--still-v1", "--account", MEMBERS[0]))
    assert ("hold", "v1_in_use", "optional") == tuple(
        rows[busy.instance_id][each] for each in ("decision", "reason", "http_tokens")
    )
    # What was judged since the sweep is told, too, and what has come since.
    late = world.launch_one(account=MEMBERS[0])
    world.ask({"targets": [late.arn], "dry_run": False, "caller": "alice"})
    rows = listed(imdsv2("list", "-o", "csv", "--account", MEMBERS[0]))
    assert ("enforced", "required") == tuple(rows[late.instance_id][each] for each in ("status", "http_tokens"))
    table = imdsv2("list", "--reason", "v1_in_use", "--name", busy.machine.name)
    assert busy.instance_id in table
    assert late.instance_id not in table
    told = imdsv2("explain", busy.machine.name)
    assert f"{busy.instance_id} in {MEMBERS[0]}" in told
    assert "hold (v1_in_use)" in told
    assert "Calls by the hour of the week" in told
    story = json.loads(imdsv2("explain", late.arn, "-o", "json"))
    assert "enforced" in [each["status"] for each in story["timeline"]]
    assert "alice" in {each["who"] for each in story["timeline"]}
    assert {"mode", "circuit breaker", "approval", "canaries"} <= {each["gate"] for each in story["gates"]}
    imdsv2("explain", "nobody-is-called-this", code=2)
    imdsv2("report", "--file", str(tmp_path / "fleet.html"))
    assert busy.instance_id in (tmp_path / "fleet.html").read_text()
    assert "v1\\_in\\_use" in imdsv2("report", "--format", "markdown")
    assert busy.instance_id in listed(imdsv2("report", "--format", "csv"))
    document = json.loads(imdsv2("status", "-o", "json"))
    assert "enforce" == document["policy"]["mode"]
    assert document["fleet"]["imdsv1_allowed"] >= 1
    assert document["watched"]["count"] >= 1
    assert "SUCCEEDED" == document["sweep"]["last_run"]["status"]


def test_a_wrong_reason_is_refused_with_the_nearest(world: World, imdsv2: Any) -> None:
    """Before anything is read."""
    assert "v1_in_use" in imdsv2("list", "--reason", "v1_in_us", code=2)


def test_the_demos_fleet_after_a_dry_sweep(world: World, imdsv2: Any, tmp_path: Path) -> None:
    """Every instance of the accounts that are swept, with the verdict that its story says, in the list and in the report."""
    # What EC2 refuses shows only when the change is asked for, which a dry sweep does not.
    plain = [
        each
        for each in machines()
        if each.account in MEMBERS
        and each.region == HOME
        and each.reason not in {"gone", "managed_elsewhere", "not_ready", "untaggable"}
        and not (each.happened or each.suppressed or each.runs_as)
    ]
    launched = launch(world.cloud, plain)
    sweep(world, dry_run=True)
    rows = listed(imdsv2("list", "-o", "csv"))
    told = {each.machine.name: rows[each.instance_id]["reason"] for each in launched}
    assert {each.machine.name: each.machine.reason for each in launched} == told
    still = listed(imdsv2("list", "-o", "csv", "--still-v1")).keys() & {each.instance_id for each in launched}
    assert len(still) > len(launched) / 2
    imdsv2("report", "--file", str(tmp_path / "fleet.html"))
    page = (tmp_path / "fleet.html").read_text()
    assert not {each for each in still if each not in page}
