"""`imdsv2 doctor` and the nightly sweep: what people start is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from imdsv2_cli.base import App
from imdsv2_cli.doctor.nights import last_sweep

if TYPE_CHECKING:
    from imdsv2_cli.doctor.finding import Finding
    from tests.cli.conftest import Aws

NIGHTLY = {"dry_run": False, "spare_hours": 20}
BY_HAND = [
    {"dry_run": True},
    {"dry_run": False},
    {"dry_run": False, "accounts": ["222222222222"], "regions": ["eu-west-1"]},
    [],
    None,
]


class Executions:
    """What Step Functions knows, the newest first."""

    def __init__(self, aws: Aws) -> None:
        self.listed: list[dict[str, Any]] = []
        self.inputs: dict[str, str] = {}
        self.aws = aws
        aws.answers["stepfunctions", "list_executions"] = lambda **_: {"executions": self.listed}
        aws.answers["stepfunctions", "describe_execution"] = lambda **request: {
            "input": self.inputs[request["executionArn"]]
        }

    def add(self, hours: float, given: Any, status: str = "SUCCEEDED") -> None:
        """One that began so many hours ago."""
        arn = f"arn:aws:states:eu-west-1:111111111111:execution:sweep:{len(self.listed)}"
        began = datetime.now(UTC) - timedelta(hours=hours)
        self.listed.append({"executionArn": arn, "status": status, "startDate": began})
        self.inputs[arn] = json.dumps(given)

    def found(self) -> Finding:
        """What the doctor says."""
        (finding,) = last_sweep(App())
        return finding


@pytest.fixture
def executions(aws: Aws) -> Executions:
    """None yet."""
    return Executions(aws)


@pytest.mark.parametrize("given", BY_HAND, ids=str)
@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "RUNNING"])
def test_what_a_person_started_since_hides_nothing(executions: Executions, given: Any, status: str) -> None:
    """Neither that the schedule has stopped, nor that the night went well."""
    executions.add(2, given, status)
    executions.add(75, NIGHTLY)
    stopped = executions.found()
    assert ("fault", "The nightly one began 3 days and 3 hours ago.") == (stopped.outcome, stopped.found)
    assert "imdsv2-remediation-sweep" in stopped.mend
    executions.listed[1]["startDate"] = datetime.now(UTC) - timedelta(hours=7)
    assert "well" == executions.found().outcome


def test_a_nightly_one_that_failed_is_redriven(executions: Executions) -> None:
    """Though somebody's went well after it."""
    executions.add(1, {"dry_run": True})
    executions.add(9, NIGHTLY, "TIMED_OUT")
    found = executions.found()
    assert ("fault", True) == (found.outcome, "timed out" in found.found)
    assert found.mend.endswith(f"redrive-execution --execution-arn {executions.listed[1]['executionArn']}")


@pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE"])
def test_one_that_goes_on_is_well(executions: Executions, status: str) -> None:
    """The one before it began more than a day ago by then."""
    executions.add(3, NIGHTLY, status)
    executions.add(27, NIGHTLY)
    assert ("well", True) == (executions.found().outcome, "goes on" in executions.found().found)


def test_where_only_people_have_started_any_the_schedule_is_at_fault(executions: Executions) -> None:
    """Unless it may not have come yet."""
    assert "unproved" == executions.found().outcome
    executions.add(1, {"dry_run": True})
    assert ("unproved", "The nightly one has not begun yet.") == (executions.found().outcome, executions.found().found)
    executions.add(50, {"dry_run": False})
    assert ("fault", True) == (executions.found().outcome, "none by the schedule" in executions.found().found)


def test_the_nightly_one_is_found_behind_a_busy_day(executions: Executions) -> None:
    """Each is asked about, up to the one that is sought; not for ever."""
    for number in range(60):
        executions.add(number / 10, {"dry_run": True})
    executions.add(8, NIGHTLY)
    assert "well" == executions.found().outcome
    assert 61 == len(executions.aws.requests("describe_execution"))
    executions.listed = executions.listed[:60] * 4
    executions.aws.asked.clear()
    assert "unproved" == executions.found().outcome
    assert 100 == len(executions.aws.requests("describe_execution"))


def test_inputs_that_may_not_be_read_leave_it_unproved(executions: Executions) -> None:
    """The doctor says which right is missing."""
    executions.add(2, NIGHTLY)
    refused = ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeExecution")
    executions.aws.answers["stepfunctions", "describe_execution"] = refused
    with pytest.raises(ClientError):
        executions.found()
