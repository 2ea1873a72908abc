"""The sweep: every account and Region, through the same pipeline, by the real state machine."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud import findings
from local.cloud.run import MEMBERS

if TYPE_CHECKING:
    from tests.e2e.world import World

PLACES = [(account, region) for account in MEMBERS for region in ("eu-west-1", "us-east-1")]


def _start(world: World, order: dict[str, Any]) -> str:
    """Start a sweep, and return its ARN."""
    machine = world.cloud.outputs["SweepStateMachineArn"]
    started = world.home.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(order))
    return str(started["executionArn"])


def _sweep(world: World, **order: Any) -> dict[str, Any]:
    """Run one sweep of the member accounts to its end, and return its output."""
    everywhere = {"accounts": list(MEMBERS), "regions": ["eu-west-1", "us-east-1"]}
    ended = world.ended(_start(world, everywhere | order))
    assert "SUCCEEDED" == ended["status"], ended
    output: dict[str, Any] = json.loads(ended["output"])
    return output


def _result(world: World, output: dict[str, Any]) -> dict[str, Any]:
    """The full result in the bucket, by account and Region."""
    body = world.home.client("s3").get_object(Bucket=output["bucket"], Key=output["key"])["Body"].read()
    result: dict[str, Any] = json.loads(body)
    return result


def test_a_sweep_finds_what_no_finding_reported(world: World) -> None:
    """Idle instances in every account and Region are enforced, busy ones are held, and the summary counts them."""
    idle = [world.launch_one(account=account, region=region) for account, region in PLACES]
    busy = world.launch_one(calls={4: 2})
    output = _sweep(world, dry_run=False)
    assert [("enforced", "unused")] * 4 == world.verdicts(idle)
    assert ("held", "v1_in_use") == world.verdicts([busy])[0]
    assert {"sweep"} == {world.current(one)["source"] for one in [*idle, busy]}
    assert (4, 0) == (output["places"], output["failed"])
    assert output["by_verdict"]["unused"] >= 4
    assert output["by_verdict"]["v1_in_use"] >= 1


def test_a_sweep_leaves_what_was_suppressed_before_any_event_told_of_it(world: World) -> None:
    """In either hub; both are asked for what is suppressed before anything is looked at."""
    in_v2, in_cspm, idle = world.launch(number=3)
    world.set_queue_listening(enabled=False)
    newer = {**findings.finding_v2(in_v2.arn), "status_id": 3, "status": "Suppressed"}
    world.cloud.ask(
        "PUT", "findings-v2", {"account": in_v2.machine.account, "region": in_v2.machine.region, "findings": [newer]}
    )
    older = findings.finding(in_cspm.arn)
    hub: Any = world.cloud.session(account=in_cspm.machine.account, region=in_cspm.machine.region).client("securityhub")
    hub.batch_import_findings(Findings=[older])
    identity = {"Id": older["Id"], "ProductArn": older["ProductArn"]}
    hub.batch_update_findings(FindingIdentifiers=[identity], Workflow={"Status": "SUPPRESSED"})
    output = _sweep(world, accounts=[idle.machine.account], regions=[idle.machine.region], dry_run=False)
    world.set_queue_listening(enabled=True)
    assert ["suppressed", "suppressed", "unused"] == [reason for _, reason in world.verdicts([in_v2, in_cspm, idle])]
    assert ["optional", "optional", "required"] == [
        world.options(each)["HttpTokens"] for each in (in_v2, in_cspm, idle)
    ]
    # Other tests of this world may have suppressed some too.
    assert output["by_verdict"]["suppressed"] >= 2


def test_a_dry_sweep_writes_only_its_result(world: World) -> None:
    """Neither the ledger nor EC2 changes; the result counts instances, IMDSv1 and verdicts by account and Region."""
    idle = world.launch_one(account=MEMBERS[1], region="us-east-1")
    world.launch_one(account=MEMBERS[1], region="us-east-1", options={"HttpTokens": "required"})
    output = _sweep(world, accounts=[MEMBERS[1]], regions=["us-east-1"])
    assert {} == world.current(idle)
    assert "optional" == world.options(idle)["HttpTokens"]
    [place] = _result(world, output)["places"]
    assert (MEMBERS[1], "us-east-1") == (place["account"], place["region"])
    assert place["instances"] > place["imdsv1_allowed"] >= 1
    assert place["already_required"] >= 1
    assert place["instances"] == sum(place["by_verdict"].values()) + place["failed"]
    assert place["by_verdict"]["unused"] >= 1


def test_an_account_that_cannot_be_entered_is_told_and_stops_nobody(world: World) -> None:
    """The result has the reason."""
    output = _sweep(world, accounts=["999999999999", MEMBERS[0]], regions=["us-east-1"])
    assert (1, 1) == (output["places"], output["unreachable"])
    assert "AssumeRole" in _result(world, output)["unreachable"]["999999999999"]


def test_a_sweep_that_can_enter_no_account_fails(world: World) -> None:
    """Its error names the file with the reasons."""
    ended = world.ended(_start(world, {"accounts": ["999999999999", "888888888888"], "dry_run": False}))
    assert "FAILED" == ended["status"]
    assert "no account and Region could be looked at" in ended["cause"]


def test_a_sweep_that_is_refused_everywhere_fails(world: World) -> None:
    """Every place has its error, and none of them can be repeated with success."""
    refuses = {"account": MEMBERS[0], "service": "ec2", "action": "DescribeInstances"}
    world.cloud.faults([{**refuses, "error": "UnauthorizedOperation", "status": 403}])
    everywhere = {"accounts": [MEMBERS[0]], "regions": ["eu-west-1", "us-east-1"]}
    assert "FAILED" == world.ended(_start(world, everywhere))["status"]


def test_a_place_that_refuses_is_told_and_fails_nothing(world: World) -> None:
    """A retry would not help."""
    refuses = {"account": MEMBERS[0], "region": "us-east-1", "service": "ec2", "action": "DescribeInstances"}
    world.cloud.faults([{**refuses, "error": "UnauthorizedOperation", "status": 403}])
    output = _sweep(world, accounts=[MEMBERS[0]])
    assert (2, 1) == (output["places"], output["errors"])
    assert "UnauthorizedOperation" in _result(world, output)["errors"][f"{MEMBERS[0]} us-east-1"]


def test_a_sweep_that_failed_is_redriven_for_what_failed(world: World) -> None:
    """EC2 is down in one of four accounts and Regions, which is above the tolerance; after recovery, only that one is
    repeated."""
    idle = world.launch_one(account=MEMBERS[1], region="us-east-1")
    away = {"account": MEMBERS[1], "region": "us-east-1", "service": "ec2", "action": "DescribeInstances"}
    world.cloud.faults([{**away, "error": "InternalError", "status": 500}])
    everywhere = {"accounts": list(MEMBERS), "regions": ["eu-west-1", "us-east-1"]}
    execution = _start(world, {**everywhere, "dry_run": False})
    assert "FAILED" == world.ended(execution)["status"]
    assert {} == world.current(idle)
    world.cloud.faults()
    world.cloud.calls(reset=True)
    states = world.home.client("stepfunctions")
    states.redrive_execution(executionArn=execution)
    ended = world.ended(execution)
    assert ("SUCCEEDED", 1) == (ended["status"], ended["redriveCount"]), ended
    output = json.loads(ended["output"])
    assert (4, 0, 0) == (output["places"], output["errors"], output["failed"])
    places = {(each["account"], each["region"]) for each in _result(world, output)["places"]}
    assert set(PLACES) == places
    assert [("enforced", "unused")] == world.verdicts([idle])
    looked_at = {
        (each["account"], each["region"]) for each in world.cloud.calls() if each["action"] == "DescribeInstances"
    }
    assert {(MEMBERS[1], "us-east-1")} == looked_at


@pytest.mark.parametrize("order", [{"dry_run": "no"}, {"accounts": ["1"]}, {"mode": "enforce"}])
def test_a_sweep_that_cannot_be_understood_fails_with_the_field(world: World, order: dict[str, Any]) -> None:
    """The execution's cause names the field to fix."""
    ended = world.ended(_start(world, order))
    assert "FAILED" == ended["status"]
    assert next(iter(order)) in ended["cause"]


def test_a_dry_sweep_writes_the_whole_fleet(world: World) -> None:
    """Each instance with what is known of it, those that require tokens too; the newest file is named."""
    busy = world.launch_one(account=MEMBERS[1], region="us-east-1", calls={4: 2})
    required = world.launch_one(account=MEMBERS[1], region="us-east-1", options={"HttpTokens": "required"})
    output = _sweep(world, accounts=[MEMBERS[1]], regions=["us-east-1"])
    s3 = world.home.client("s3")

    def read(key: str) -> bytes:
        body: bytes = s3.get_object(Bucket=output["bucket"], Key=key)["Body"].read()
        return body

    latest = json.loads(read("fleet/latest.json"))
    table = gzip.decompress(read(latest["key"])).decode()
    rows = {each["instance_id"]: each for each in csv.DictReader(io.StringIO(table, newline=""))}
    assert latest["rows"] == len(rows)
    assert ("held", "v1_in_use", busy.machine.name) == tuple(
        rows[busy.instance_id][each] for each in ("status", "reason", "name")
    )
    assert ("required", "already_required") == tuple(
        rows[required.instance_id][each] for each in ("http_tokens", "reason")
    )
