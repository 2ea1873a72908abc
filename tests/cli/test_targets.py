"""An instance has the same key in every answer, so that scripts join them; and what is asked for a Region is looked for there."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.cli import test_fleet
from tests.cli.conftest import run
from tests.cli.test_fleet import arn
from tests.world.rows import fill, required, row

if TYPE_CHECKING:
    from tests.cli.test_fleet import Installation

here = test_fleet.here
KEY = "aws/222222222222/eu-west-1/group:web@lt-1+1+ami-1"


def test_every_answer_names_an_instance_by_its_arn(here: Installation) -> None:
    """As `target`, beside what people read: in the list, the explanation of an instance and of a cohort, the status and the report."""
    here.policy(mode="observe")
    fill(here.bucket, [row(1, cohort=KEY), row(2, reason="approval_required", cohort=KEY)])
    listed = json.loads(here.said("list", "-o", "json"))["instances"]
    assert [str(arn(1)), str(arn(2))] == [each["target"] for each in listed]
    assert str(arn(1)) == json.loads(here.said("explain", "web-1", "-o", "json"))["instance"]["target"]
    members = json.loads(here.said("explain", "group:web", "-o", "json"))["members"]
    assert {str(arn(1)), str(arn(2))} == {each["target"] for each in members}
    [waits] = json.loads(here.said("status", "-o", "json"))["approvals"]["first"]
    assert str(arn(2)) == waits["target"]
    for told in (here.said("list", "-o", "csv"), here.said("report", "--format", "csv")):
        assert [str(arn(1)), str(arn(2))] == [each["target"] for each in csv.DictReader(io.StringIO(told))]


def test_a_region_alone_is_looked_for_wherever_the_last_sweep_saw_instances(here: Installation) -> None:
    """After a dry sweep the ledger knows none, and an answer from it alone would say that nothing allows IMDSv1 there."""
    fill(here.bucket, [row(1), row(2, region="us-east-1"), required(3, account="333333333333", region="us-east-1")])
    here.aws.on_invoke("manual", {"count": 0, "results": [], "unknown": [], "problems": []})
    told = here.said("assess", "--in-region", "us-east-1")
    [asked] = here.aws.payloads()
    places = [("222222222222", "us-east-1"), ("333333333333", "us-east-1")]
    assert places == [(each["account"], each["region"]) for each in asked["find"]["places"]]
    assert "No instance was found there that allows IMDSv1." in told


def test_an_empty_ledger_is_not_taken_for_an_empty_fleet(here: Installation) -> None:
    """Without a choice only the ledger is asked: it is told that this is no proof, and what looks everywhere."""
    fill(here.bucket, [row(1)])
    here.aws.on_invoke("manual", {"count": 0, "results": [], "unknown": [], "problems": []})
    done = run("assess")
    assert (0, True) == (done.exit_code, "imdsv2 sweep looks everywhere" in done.stdout)
    assert "No instance was found" not in done.stdout


def test_an_instance_that_something_calls_names_the_command_that_finds_it(here: Installation) -> None:
    """The explanation names AWS's analyzer, for those without the command line; whoever reads this has it."""
    here.policy(mode="observe")
    fill(here.bucket, [row(1, reason="v1_in_use"), row(2, reason="too_young")])
    assert f"imdsv2 culprit {arn(1).instance_id}" in here.said("explain", "web-1")
    assert "culprit" not in here.said("explain", "web-2")


def test_what_only_the_first_look_could_not_see_is_not_told(here: Installation) -> None:
    """On the first day the ledger knows nothing: the service says so to a question that a sweep's places then answer."""
    fill(here.bucket, [row(1)])
    shown = {"target": str(arn(1)), "name": "web-1", "state": "running", "http_tokens": "required"}

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        if "find" not in asked:
            return {"dry_run": True, "mode": "observe", "results": []}
        if "places" in asked["find"]:
            return {"count": 1, "results": [shown], "unknown": [], "problems": []}
        unknown = [{"name": "web-1", "likely": None}]
        return {"count": 0, "results": [], "unknown": unknown, "problems": ["The ledger knows no instance yet."]}

    here.aws.on_invoke("manual", answer)
    done = run("assess", "web-1")
    assert (0, False) == (done.exit_code, "knows no instance" in done.stderr), done.output


def test_an_execution_that_does_not_exist_is_not_said_to_go_on(here: Installation) -> None:
    """A mistyped ARN is the caller's to correct."""
    missing = ClientError({"Error": {"Code": "ExecutionDoesNotExist"}}, "DescribeExecution")
    here.aws.answers["stepfunctions", "describe_execution"] = missing
    done = run("sweep", "--execution", "arn:aws:states:eu-west-1:111111111111:execution:x:y")
    assert (2, False) == (done.exit_code, "goes on" in done.stderr), done.output
    assert "leave --execution out" in done.stderr


@pytest.mark.parametrize(
    ("words", "todo"),
    [
        (("undo",), "name instances, --cohort, --account, --since or --source"),
        (("clear",), "name instances, --cohort or --account"),
        (("mended", "--at", "now"), "name instances or --cohort"),
        (("audit", "--kind", "brok"), "does not"),
    ],
)
def test_what_names_nothing_is_told_what_it_may_name(here: Installation, words: tuple[str, ...], todo: str) -> None:
    """Every option that would do, in one line; of a slip of the finger only the likely word."""
    done = run(*words)
    assert (2, 1) == (done.exit_code, done.stderr.count("\n"))
    assert todo in done.stderr or done.stderr.endswith("did you mean broke?\n")
