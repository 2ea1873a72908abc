"""The self-test: the real state machine and function, on instances whose user data runs."""

from __future__ import annotations

import csv
import io
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.selftest import untried_checks
from imdsv2.selftest.beliefs import BELIEFS
from local.cloud.run import HOME, MEMBERS, MEMBERS_UNIT, ORGANIZATION, LocalCloud
from tests.e2e import rehearsal
from tests.e2e.rehearsal import Faults, Software
from tests.e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_BELIEVED, OTHERWISE = MEMBERS
UNTRIED = {belief.id for belief in BELIEFS if belief.check.__module__ == untried_checks.__name__}
WRITE = "imdsv2-remediation-write"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The stack with the self-test, deployed for an organisation, and schedules under the tests' control."""
    with LocalCloud(environment={"SFN_WAIT_SCALE": "0.2"}) as cloud:
        cloud.deploy(
            selftest=True,
            organization_id=ORGANIZATION,
            organizational_units=[MEMBERS_UNIT],
            member_regions=[HOME],
            call_as="SELF",
        )
        world = World(cloud)
        world.switch_batching_window_off()
        world.stop_schedules()
        # On AWS the calls of the line's instance lie in several periods of five minutes; here a minute lasts a second or so.
        world.set_policy({"mode": "enforce", "rejected_periods": 1, "watch_hours": 30})
        yield world


@pytest.fixture(scope="module")
def rehearsed(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Two self-tests at once, to their ends: in an account that is as believed, and in one that is otherwise in four ways."""
    _widen_write_role(world, OTHERWISE)
    faults = {OTHERWISE: Faults(counts_too_much=True, resets_hop_limit=True, hub_is_silent=True)}
    pace = {"minute_seconds": rehearsal.minute_seconds(world, AS_BELIEVED)}
    orders = {AS_BELIEVED: pace, OTHERWISE: {**pace, "line": False, "set_observe_if_contradicted": True}}
    with ExitStack() as running:
        running.enter_context(rehearsal.guarding(world))
        for account in MEMBERS:
            software = Software(world, tmp_path_factory.mktemp(account), account, faults.get(account))
            running.enter_context(software.running())
        started = {
            account: rehearsal.start(world, rehearsal.order(account, **changes)) for account, changes in orders.items()
        }
        return {account: rehearsal.ended(world, execution) for account, execution in started.items()}


def _widen_write_role(world: World, account: str) -> None:
    """Somebody has given the role more than it needs."""
    more = {"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "*"}
    world.cloud.session(account=account).client("iam").put_role_policy(
        RoleName=WRITE, PolicyName="more", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [more]})
    )


def output(done: dict[str, Any]) -> dict[str, Any]:
    """The output of an execution, which must have succeeded."""
    assert "SUCCEEDED" == done["status"], done.get("cause")
    document: dict[str, Any] = json.loads(done["output"])
    return document


def unlike(outcome: str, document: dict[str, Any]) -> dict[str, str]:
    """The beliefs with another outcome, and what was seen of them."""
    return {row["belief"]: row["seen"] for row in document["beliefs"] if row["outcome"] != outcome}


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
    contradicted = {
        "counts-tokenless-calls",
        "other-options-stay",
        "roles-are-as-meant",
        "security-hub-finding-arrives",
    }
    assert contradicted == set(output(rehearsed[OTHERWISE])["contradicted_beliefs"])
    assert {*contradicted, "line-enforces", "line-rolls-back", *UNTRIED} == unlike("confirmed", document).keys()


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
