"""The self-test: the real state machine and function, on instances whose user data runs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.selftest.beliefs import BELIEFS
from local.cloud.run import HOME, MEMBERS
from tests.e2e import rehearsal
from tests.e2e.rehearsal import UNTRIED, Run, output, unlike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.world import World

AS_BELIEVED, OTHERWISE = MEMBERS
FAULTS = frozenset(
    {"counts-tokenless-calls", "other-options-stay", "roles-are-as-meant", "security-hub-finding-arrives"}
)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with rehearsal.deployed() as world:
        yield world


@pytest.fixture(scope="module")
def rehearsed(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Two self-tests at once, to their ends: in an account that is as believed, and in one that is otherwise in four ways."""
    without_line = {"line": False, "set_observe_if_contradicted": True}
    runs = (Run(account=AS_BELIEVED, order={}), Run(account=OTHERWISE, order=without_line, otherwise=FAULTS))
    pace = rehearsal.minute_seconds(world, AS_BELIEVED)
    done = rehearsal.rehearse(world, tmp_path_factory.mktemp("selftest"), runs, pace)
    return dict(zip(MEMBERS, done, strict=True))


def test_without_a_word_of_consent_it_tells_its_plan(world: World) -> None:
    """What it would launch, how long it would take, what it would cost: and it launches nothing."""
    plan = output(rehearsal.ended(world, rehearsal.start(world, rehearsal.order(AS_BELIEVED, confirm=False))))
    assert (5, len(BELIEFS)) == (len(plan["instances"]), plan["beliefs"])
    assert 0 < plan["usd_at_most"] < 1


def test_an_impossible_input_is_refused_with_its_remedy(world: World) -> None:
    """The execution fails with the field and what it takes."""
    done = rehearsal.ended(world, rehearsal.start(world, {"account": AS_BELIEVED, "region": "Ireland"}))
    assert "FAILED" == done["status"]
    assert "region: takes a Region" in done["cause"]


def test_on_an_aws_that_is_as_believed_every_belief_is_confirmed(
    world: World, rehearsed: dict[str, dict[str, Any]]
) -> None:
    """None is contradicted, and none is left untried that can be tried: the line, the guard, both hubs, Config, StackSets."""
    others = unlike("confirmed", rehearsal.result(world, output(rehearsed[AS_BELIEVED])))
    assert {} == {belief: seen for belief, seen in others.items() if belief not in UNTRIED}


def test_what_is_otherwise_is_contradicted_and_nothing_else(world: World, rehearsed: dict[str, dict[str, Any]]) -> None:
    """Each fault contradicts its own belief; the line was not asked for."""
    document = rehearsal.result(world, output(rehearsed[OTHERWISE]))
    assert set(output(rehearsed[OTHERWISE])["contradicted_beliefs"]) == FAULTS
    assert {*FAULTS, "line-enforces", "line-rolls-back", *UNTRIED} == unlike("confirmed", document).keys()


def test_a_belief_that_safety_relies_on_sets_the_policy_to_observe_if_asked(
    world: World, rehearsed: dict[str, dict[str, Any]]
) -> None:
    """Only the mode changes, and the result says so."""
    parameter = world.home.client("ssm").get_parameter(Name=world.cloud.outputs["PolicyParameterName"])
    policy = json.loads(parameter["Parameter"]["Value"])
    assert ("observe", 30) == (policy["mode"], policy["watch_hours"])
    assert "observe" in output(rehearsed[OTHERWISE])["policy"]
    assert output(rehearsed[AS_BELIEVED])["policy"] is None


@pytest.mark.parametrize("account", MEMBERS)
def test_every_instance_is_ended(account: str, world: World, rehearsed: dict[str, dict[str, Any]]) -> None:
    """Five were launched."""
    output(rehearsed[account])
    ec2 = world.cloud.session(account=account, region=HOME).client("ec2")
    found = ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": ["imdsv2:selftest"]}])["Reservations"]
    assert ["terminated"] * 5 == [each["State"]["Name"] for one in found for each in one["Instances"]]


def test_the_result_is_a_document_and_a_table(world: World, rehearsed: dict[str, dict[str, Any]]) -> None:
    """Both name every belief with its outcome; the document has what was expected, seen and answered."""
    told = output(rehearsed[AS_BELIEVED])
    document = rehearsal.result(world, told)
    body = world.home.client("s3").get_object(Bucket=told["bucket"], Key=told["table"])["Body"].read().decode()
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [(row["belief"], row["outcome"]) for row in document["beliefs"]] == [
        (row["belief"], row["outcome"]) for row in rows
    ]
    assert all(row["expected"] and row["seen"] for row in document["beliefs"])
    assert document["observations"]["calls"]


def test_what_the_rollback_held_is_released(world: World, rehearsed: dict[str, dict[str, Any]]) -> None:
    """Other instances of the image are not held for the self-test's sake."""
    document = rehearsal.result(world, output(rehearsed[AS_BELIEVED]))
    [cleared] = [each for each in document["observations"]["answers"] if each["name"] == "clear"]
    assert "ok" == cleared["code"], cleared


def test_instances_are_ended_and_a_result_is_written_if_a_step_fails(world: World) -> None:
    """The third launch fails: the execution fails with EC2's words, and what was launched before is ended."""
    account = MEMBERS[0]
    fault = {"account": account, "service": "ec2", "action": "RunInstances", "error": "InsufficientInstanceCapacity"}
    world.cloud.faults([{**fault, "message": "None is left.", "only_after": 2}])
    done = rehearsal.ended(world, rehearsal.start(world, rehearsal.order(account)))
    world.cloud.faults()
    assert ("FAILED", True) == (done["status"], "None is left." in done["cause"])
    ec2 = world.cloud.session(account=account, region=HOME).client("ec2")
    named: Any = [{"Name": "tag:imdsv2:selftest", "Values": [done["name"]]}]
    found = ec2.describe_instances(Filters=named)["Reservations"]
    assert ["terminated"] * 2 == [each["State"]["Name"] for one in found for each in one["Instances"]]
