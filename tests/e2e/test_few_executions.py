"""An account in which Lambda runs few functions at a time: the service works, slowly."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from local.cloud.run import MEMBERS, REGIONS, SECURITY, LocalCloud
from tests.e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 2
"""Where an account has ten, a sweep goes through a hundred places at once; here are two, and six places."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The stack with its default settings in such an account."""
    few = {"LAMBDA_ACCOUNT_CONCURRENCY": str(AT_ONCE), "SFN_WAIT_SCALE": "0.01"}
    with LocalCloud(environment=few) as cloud:
        cloud.deploy()
        world = World(cloud)
        world.stop_schedules()
        world.set_policy({"mode": "enforce"})
        yield world


def refused(world: World, function: str) -> float:
    """How often Lambda did not start a function."""
    now = datetime.now(UTC)
    answer = world.home.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Throttles",
        Dimensions=[{"Name": "FunctionName", "Value": f"imdsv2-remediation-{function}"}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(each["Sum"] for each in answer["Datapoints"])


def test_a_sweep_whose_steps_are_refused_ends_with_every_place(world: World) -> None:
    """Lambda refuses steps again and again; each is tried until there is room, and no place is left out."""
    fleet = [world.launch_one(account=account, region=region) for account in (SECURITY, *MEMBERS) for region in REGIONS]
    states = world.home.client("stepfunctions")
    order = json.dumps({"dry_run": False, "accounts": [SECURITY, *MEMBERS], "regions": [*REGIONS]})
    machine = world.cloud.outputs["SweepStateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine, input=order)["executionArn"]
    ended = world.ended(execution)
    assert "SUCCEEDED" == ended["status"], ended
    output = json.loads(ended["output"])
    assert (len(fleet), 0, 0) == (output["places"], output["unreachable"], output["failed"]), output
    assert [("enforced", "unused")] * len(fleet) == world.verdicts(fleet)
    assert refused(world, "sweep") > 0, "nothing was refused, so this shows nothing"
