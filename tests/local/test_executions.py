"""Executions that fail and are redriven, and the most that a state hands on."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.run import HOME
from tests.local.model_check import check_answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cloud.run import LocalCloud

PATIENCE_SECONDS = 20
ITEMS = ["a", "b", "c", "d"]


class World:
    """State machines of an account whose items fail until a parameter says that they succeed."""

    def __init__(self, cloud: LocalCloud, account: str) -> None:
        session = cloud.session(account=account)
        # ministack's history lacks details of tasks that the model wants: it is read without a check.
        self.history = session.client("stepfunctions")
        self.states = check_answers(cloud.session(account=account).client("stepfunctions", region_name=HOME))
        self.ssm, self.s3 = session.client("ssm"), session.client("s3")
        trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
        self.role = session.client("iam").create_role(
            RoleName="states", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
        )["Role"]["Arn"]
        self.made = 0

    def fails(self, *items: str) -> None:
        """These items have no parameter, and so fail; the others have one."""
        for item in ITEMS:
            if item in items:
                self.ssm.delete_parameters(Names=[item])
            else:
                self.ssm.put_parameter(Name=item, Value="well", Type="String", Overwrite=True)

    def start(self, definition: dict[str, Any], given: Any) -> str:
        """Start an execution of a new state machine; returns its ARN."""
        self.made += 1
        machine = self.states.create_state_machine(
            name=f"machine-{self.made}",
            definition=json.dumps(definition),
            roleArn=self.role,
        )["stateMachineArn"]
        return str(self.states.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        """Wait for the end of an execution."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            seen: dict[str, Any] = self.states.describe_execution(executionArn=execution)
            if seen["status"] != "RUNNING":
                return seen
            time.sleep(0.05)
        raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain for the end of {execution}")

    def redriven(self, execution: str) -> dict[str, Any]:
        """Redrive an execution and wait for its end."""
        self.states.redrive_execution(executionArn=execution)
        return self.ended(execution)

    def map_run(self, execution: str) -> dict[str, Any]:
        """The one Map Run of an execution."""
        [run] = self.states.list_map_runs(executionArn=execution)["mapRuns"]
        described: dict[str, Any] = self.states.describe_map_run(mapRunArn=run["mapRunArn"])
        return described

    def children(self, execution: str) -> dict[str, dict[str, Any]]:
        """The map's children by their item."""
        listed = self.states.list_executions(mapRunArn=self.map_run(execution)["mapRunArn"])["executions"]
        described = [self.states.describe_execution(executionArn=each["executionArn"]) for each in listed]
        return {json.loads(each["input"]): each for each in described}


@pytest.fixture
def world(cloud: LocalCloud, account: str) -> World:
    """An account of its own."""
    return World(cloud, account)


def read(name: str, **more: Any) -> dict[str, Any]:
    """A state that reads a parameter, and fails where there is none."""
    resource = "arn:aws:states:::aws-sdk:ssm:getParameter"
    return {"Type": "Task", "Resource": resource, "Parameters": {"Name.$": name}, **more}


def mapped(**more: Any) -> dict[str, Any]:
    """A map over the items, which a state precedes and one follows; each child passes one state before it reads."""
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "First",
        "States": {
            "First": {"Type": "Pass", "Next": "Read"},
            "Read": read("$", OutputPath="$.Parameter.Name", End=True),
        },
    }
    places = {"Type": "Map", "ItemsPath": "$", "ItemProcessor": processor, "Next": "After", **more}
    states = {"Before": {"Type": "Pass", "Next": "Places"}, "Places": places, "After": {"Type": "Pass", "End": True}}
    return {"StartAt": "Before", "States": states}


def entered(world: World, execution: str) -> list[str]:
    """The states that were entered, and the redrives between them."""
    events = world.history.get_execution_history(executionArn=execution)["events"]
    names: Callable[[Any], str] = lambda each: each.get("stateEnteredEventDetails", {}).get("name", each["type"])  # noqa: E731
    return [names(each) for each in events if each["type"].endswith(("StateEntered", "Redriven"))]


def test_only_what_failed_is_run_again(world: World) -> None:
    """Children that succeeded are left alone, those that failed go on at the state that failed, then the execution does."""
    world.fails("b", "d")
    execution = world.start(mapped(), ITEMS)
    failed = world.ended(execution)
    assert ("FAILED", "States.ExceedToleratedFailureThreshold") == (failed["status"], failed["error"])
    assert (0, "REDRIVABLE") == (failed["redriveCount"], failed["redriveStatus"])
    before = world.children(execution)
    assert "REDRIVABLE_BY_MAP_RUN" == before["b"]["redriveStatus"]
    world.fails()
    done = world.redriven(execution)
    assert ("SUCCEEDED", ITEMS) == (done["status"], json.loads(done["output"]))
    assert (1, "NOT_REDRIVABLE") == (done["redriveCount"], done["redriveStatus"])
    after = world.children(execution)
    assert [0, 1, 0, 1] == [after[item]["redriveCount"] for item in ITEMS]
    assert [before[item]["executionArn"] for item in ITEMS] == [after[item]["executionArn"] for item in ITEMS]
    assert before["a"]["stopDate"] == after["a"]["stopDate"]
    assert ["First", "Read", "ExecutionRedriven", "Read"] == entered(world, after["b"]["executionArn"])
    expected = ["Before", "Places", "ExecutionRedriven", "Places", "MapRunRedriven", "After"]
    assert expected == entered(world, execution)


def test_a_map_run_counts_its_redrives_and_its_children(world: World) -> None:
    """Whatever a redrive leaves failed fails the execution again, and can be redriven again."""
    world.fails("b", "d")
    execution = world.start(mapped(), ITEMS)
    world.ended(execution)
    world.fails("d")
    assert "FAILED" == world.redriven(execution)["status"]
    run = world.map_run(execution)
    assert ("FAILED", 1) == (run["status"], run["redriveCount"])
    assert {"succeeded": 3, "failed": 1, "running": 0, "pendingRedrive": 0, "total": 4}.items() <= run[
        "itemCounts"
    ].items()
    world.fails()
    assert "SUCCEEDED" == world.redriven(execution)["status"]
    run = world.map_run(execution)
    assert ("SUCCEEDED", 2, 4) == (run["status"], run["redriveCount"], run["executionCounts"]["succeeded"])
    assert [0, 1, 0, 2] == [world.children(execution)[item]["redriveCount"] for item in ITEMS]


@pytest.mark.parametrize("limit", [{"ToleratedFailurePercentage": 25}, {"ToleratedFailureCount": 1}])
def test_a_redrive_tolerates_what_the_map_does(limit: dict[str, int], world: World) -> None:
    """Two of four are too many, one is not."""
    world.fails("b", "d")
    execution = world.start(mapped(**limit), ITEMS)
    assert "FAILED" == world.ended(execution)["status"]
    world.fails("d")
    done = world.redriven(execution)
    assert ("SUCCEEDED", ["a", "b", "c", None]) == (done["status"], json.loads(done["output"]))


def test_results_are_written_of_all_children(world: World) -> None:
    """Those that succeeded before the redrive, and those that did in it."""
    world.s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": HOME})
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "results", "Prefix": "here"}}
    world.fails("b")
    execution = world.start(mapped(ResultWriter=writer), ITEMS)
    world.ended(execution)
    world.fails()
    details = json.loads(world.redriven(execution)["output"])["ResultWriterDetails"]

    def content(key: str) -> Any:
        return json.loads(world.s3.get_object(Bucket=details["Bucket"], Key=key)["Body"].read())

    [file] = content(details["Key"])["ResultFiles"]["SUCCEEDED"]
    assert ITEMS == sorted(json.loads(each["Output"]) for each in content(file["Key"]))


def test_a_state_that_failed_goes_on_with_its_own_input(world: World) -> None:
    """Without a map; what came before it is not run again, and what comes after it is run."""
    states = {
        "Choose": {"Type": "Choice", "Choices": [], "Default": "Shape"},
        "Shape": {"Type": "Pass", "Result": {"name": "a"}, "ResultPath": "$.shaped", "Next": "Read"},
        "Read": read("$.shaped.name", ResultPath="$.read", Next="Done"),
        "Done": {"Type": "Succeed", "OutputPath": "$.read.Parameter.Value"},
    }
    world.fails("a")
    execution = world.start({"StartAt": "Choose", "States": states}, {})
    assert "FAILED" == world.ended(execution)["status"]
    assert "FAILED" == world.redriven(execution)["status"]
    world.fails()
    done = world.redriven(execution)
    assert ("well", 2) == (json.loads(done["output"]), done["redriveCount"])
    expected = ["Choose", "Shape", "Read", "ExecutionRedriven", "Read", "ExecutionRedriven", "Read", "Done"]
    assert expected == entered(world, execution)


def test_a_map_that_is_retried_starts_a_run_of_its_own(world: World) -> None:
    """As AWS does it: only a redrive takes an old one up, and that the one which failed last."""
    world.fails("b")
    retry = [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1, "IntervalSeconds": 1}]
    execution = world.start(mapped(Retry=retry), ITEMS)
    assert "FAILED" == world.ended(execution)["status"]
    assert 2 == len(world.states.list_map_runs(executionArn=execution)["mapRuns"])
    world.fails()
    assert "SUCCEEDED" == world.redriven(execution)["status"]
    runs = world.states.list_map_runs(executionArn=execution)["mapRuns"]
    ends = [world.states.describe_map_run(mapRunArn=each["mapRunArn"]) for each in runs]
    assert [("FAILED", 0), ("SUCCEEDED", 1)] == [(each["status"], each["redriveCount"]) for each in ends]


def test_only_what_did_not_succeed_can_be_redriven(world: World) -> None:
    """AWS names the reason; a child is redriven by its Map Run alone."""
    world.fails("b")
    execution = world.start(mapped(ToleratedFailureCount=1), ITEMS)
    assert "SUCCEEDED" == world.ended(execution)["status"]
    with pytest.raises(ClientError, match="SUCCEEDED and cannot be redriven"):
        world.states.redrive_execution(executionArn=execution)
    with pytest.raises(ClientError, match="ExecutionNotRedrivable"):
        world.states.redrive_execution(executionArn=world.children(execution)["b"]["executionArn"])
    with pytest.raises(ClientError, match="ExecutionDoesNotExist"):
        world.states.redrive_execution(executionArn=f"{execution}-of-nobody")


def test_a_state_hands_on_no_more_than_step_functions_carries(world: World) -> None:
    """What is larger has to take the way over S3."""
    world.fails()
    states = {"Read": read("$.name", ResultPath="$.read", End=True)}
    sizes = {"SUCCEEDED": 200_000, "FAILED": 262_000}
    ends = {
        wanted: world.ended(world.start({"StartAt": "Read", "States": states}, {"name": "a", "ballast": "x" * size}))
        for wanted, size in sizes.items()
    }
    assert {"SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED"} == {wanted: end["status"] for wanted, end in ends.items()}
    assert "States.DataLimitExceeded" == ends["FAILED"]["error"]
