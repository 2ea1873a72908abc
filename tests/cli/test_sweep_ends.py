"""`imdsv2 sweep` ends with 1 where something was not looked at; its last line says what, why and what to do."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.cli.conftest import run

if TYPE_CHECKING:
    from tests.cli.conftest import Aws

EXECUTION = "arn:aws:states:eu-west-1:111111111111:execution:imdsv2-remediation-sweep:two"
WHOLE = {"account": "222222222222", "region": "eu-west-1", "instances": 9, "by_verdict": {"unused": 9}, "error": None}
DENIED = "AccessDenied: not authorized to perform sts:AssumeRole."


class Swept:
    """A sweep that has ended, with these places and accounts that could not be entered."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.dry_run = aws, True
        self.places: list[dict[str, Any]] = [WHOLE]
        self.unreachable: dict[str, str] = {}
        aws.answers["stepfunctions", "start_execution"] = {"executionArn": EXECUTION}
        aws.answers["stepfunctions", "describe_execution"] = lambda **_: {
            "status": "SUCCEEDED",
            "output": json.dumps(self.totals()),
        }
        aws.answers["s3", "get_object"] = lambda **_: {"Body": io.BytesIO(json.dumps(self.summary()).encode())}

    def summary(self) -> dict[str, Any]:
        """As the sweep writes it."""
        return {"places": self.places, "unreachable": self.unreachable}

    def totals(self) -> dict[str, Any]:
        """As its execution answers."""
        return {
            "dry_run": self.dry_run,
            "places": len(self.places),
            "instances": 9,
            "imdsv1_allowed": 9,
            "by_verdict": {"unused": 9},
            "failed": sum(each.get("failed", 0) for each in self.places),
            "errors": sum(bool(each["error"]) and not each.get("left_out") for each in self.places),
            "unreachable": len(self.unreachable),
            "bucket": "results",
            "key": "two/summary.json",
        }

    def ends(self, *args: str) -> tuple[int, str]:
        """The exit code and the last line."""
        done = run("sweep", *args)
        return done.exit_code, (done.stderr.strip().splitlines() or [""])[-1]


@pytest.fixture
def swept(aws: Aws) -> Swept:
    """One that saw everything."""
    return Swept(aws)


def place(account: str, region: str, **more: Any) -> dict[str, Any]:
    """The result for one account and Region."""
    return {**WHOLE, "account": account, "region": region, **more}


def test_one_that_saw_everything_ends_well(swept: Swept) -> None:
    """And says nothing of failures."""
    assert (0, "") == swept.ends()


def test_an_account_that_could_not_be_entered_is_named_with_the_way_out(swept: Swept) -> None:
    """The rest is shown all the same."""
    swept.unreachable = {"444444444444": DENIED}
    code, line = swept.ends()
    assert 1 == code
    assert line.startswith(
        "imdsv2: the sweep has not seen everything: 1 account could not be entered (444444444444: Acc"
    )
    assert "imdsv2 doctor says what mends it" in line
    assert "exclude_accounts" in line
    assert line.endswith("then: imdsv2 sweep --account 444444444444.")
    assert "9 instances, 9 allow IMDSv1" in run("sweep").stdout


def test_a_region_that_could_not_be_read_is_swept_anew_alone(swept: Swept) -> None:
    """By the command that is named; as before, it acts where the sweep did."""
    swept.dry_run = False
    swept.places += [
        place("555555555555", "eu-north-1", error="RequestLimitExceeded"),
        place("555555555555", "us-east-1"),
    ]
    code, line = swept.ends("--real", "--yes")
    assert 1 == code
    assert "1 Region of an account could not be read (555555555555 eu-north-1: RequestLimitExceeded)" in line
    assert line.endswith("then: imdsv2 sweep --account 555555555555 --in-region eu-north-1 --real.")


def test_instances_that_could_not_be_judged_are_counted_where_they_are(swept: Swept) -> None:
    """Of which the log tells more."""
    swept.places = [WHOLE, place("666666666666", "eu-west-1", failed=3)]
    code, line = swept.ends()
    assert 1 == code
    assert "3 instances could not be judged (3 in 666666666666 eu-west-1)" in line
    assert "the log of the function sweep says why" in line


def test_what_the_policy_leaves_out_is_no_failure(swept: Swept) -> None:
    """A person has decided that."""
    swept.places += [place("777777777777", "eu-west-1", error=DENIED, left_out=True)]
    assert (0, "") == swept.ends()


def test_of_many_some_are_named_and_all_counted(swept: Swept) -> None:
    """On one line."""
    swept.unreachable = {f"{number:012}": DENIED for number in range(30, 42)}
    code, line = swept.ends()
    assert (1, True, True) == (code, "12 accounts could not be entered" in line, "; and 7 more)" in line)
    assert line.endswith("then: imdsv2 sweep.")


@pytest.mark.parametrize("how", [(), ("-o", "json"), ("-o", "csv")])
def test_who_may_not_read_the_places_is_told_how_many(swept: Swept, how: tuple[str, ...]) -> None:
    """Whatever the form of the answer."""
    swept.unreachable = {"444444444444": DENIED, "555555555555": DENIED}
    swept.aws.answers["s3", "get_object"] = ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
    code, line = swept.ends(*how)
    assert (1, True) == (code, "2 accounts could not be entered;" in line)


def test_whoever_follows_it_later_is_told_as_well(swept: Swept) -> None:
    """By its ARN."""
    swept.places += [place("555555555555", "eu-north-1", error="Throttling")]
    assert 1 == swept.ends("--execution", EXECUTION)[0]
    assert 0 == swept.ends("--no-wait")[0]
