"""`imdsv2 policy`: changes are merged, judged, shown, and written once they are confirmed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Aws

WRITTEN = {"mode": "observe", "approval": "required", "exclude_accounts": ["444444444444"]}
WHO = "arn:aws:sts::111111111111:assumed-role/Operator/bob"


@pytest.fixture
def parameter(aws: Aws) -> Aws:
    """A policy that was written by bob, in version 7."""
    found = {"Value": json.dumps(WRITTEN), "Version": 7, "LastModifiedDate": datetime(2027, 3, 1, 9, 30, tzinfo=UTC)}
    aws.answers["ssm", "get_parameter"] = {"Parameter": found}
    aws.answers["ssm", "describe_parameters"] = {"Parameters": [{"LastModifiedUser": WHO}]}
    aws.answers["ssm", "put_parameter"] = {"Version": 8}
    return aws


def written(aws: Aws) -> list[Any]:
    return [json.loads(each["Value"]) for each in aws.requests("put_parameter")]


def test_show_names_who_wrote_it_and_what_is_a_default(parameter: Aws) -> None:
    """The whole policy in force, as JSON for programs."""
    answer = json.loads(run("policy", "show", "--output", "json").stdout)
    assert (7, WHO, WRITTEN) == (answer["version"], answer["modified_by"], answer["written"])
    assert ("required", 35) == (answer["policy"]["approval"], answer["policy"]["lookback_days"])
    assert "written 2027-03-01 09:30 UTC by" in run("policy", "show").stdout


def test_set_merges_and_leaves_the_rest(parameter: Aws) -> None:
    """Unlike `aws ssm put-parameter`, which drops what is not repeated."""
    done = run("policy", "set", "mode=off", "--yes")
    assert 0 == done.exit_code, done.output
    assert [{**WRITTEN, "mode": "off"}] == written(parameter)
    assert "mode: observe -> off" in done.stderr


@pytest.mark.parametrize(
    ("assignment", "field", "value"),
    [
        ("lookback_days=60", "lookback_days", 60),
        ("exclude_accounts=444444444444,555555555555", "exclude_accounts", ["444444444444", "555555555555"]),
        ('exclude_regions=["us-east-1"]', "exclude_regions", ["us-east-1"]),
        ("canary=null", "canary", None),
        ("canary.hours=12", "canary", {"share": 0.1, "hours": 12}),
        ("cohort_evidence=false", "cohort_evidence", False),
        ("owner_tag=team", "owner_tag", "team"),
        ("include_accounts=", "include_accounts", []),
    ],
)
def test_values_are_read_as_the_field_takes_them(parameter: Aws, assignment: str, field: str, value: object) -> None:
    """Lists with commas, texts without quotes, nested fields with a dot."""
    run("policy", "set", assignment, "--yes")
    if field == "include_accounts":
        assert [{**WRITTEN, field: value}] == written(parameter)
    assert [value] == [each[field] for each in written(parameter)]


def test_unset_returns_a_field_to_its_default(parameter: Aws) -> None:
    """The field is no longer written down."""
    run("policy", "set", "--unset", "approval", "--yes")
    assert [{name: value for name, value in WRITTEN.items() if name != "approval"}] == written(parameter)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["mode=enfroce"], 'mode: takes "off", "observe" or "enforce"'),
        (["aproval=none"], "did you mean approval?"),
        (["mode"], "write FIELD=VALUE"),
        (["--unset", "aproval"], "did you mean approval?"),
        ([], "nothing was named"),
        (["exclude_regions=eu-wst-1"], "did you mean eu-west-1"),
    ],
)
def test_what_the_service_would_refuse_is_never_written(parameter: Aws, args: list[str], says: str) -> None:
    """It is refused by the service's own parser, as a wrong command line, in one line."""
    done = run("policy", "set", *args, "--yes")
    assert (2, [], 1) == (done.exit_code, written(parameter), done.stderr.count("\n"))
    assert says in done.stderr


def test_nothing_is_written_unless_somebody_says_so(parameter: Aws) -> None:
    """Where nobody can be asked, --yes is what is missing."""
    done = run("policy", "set", "mode=enforce")
    assert (2, []) == (done.exit_code, written(parameter))
    assert "--yes" in done.stderr


def test_a_dry_run_shows_the_difference_and_writes_nothing(parameter: Aws) -> None:
    """As a document, too."""
    answer = json.loads(run("policy", "set", "mode=enforce", "--dry-run", "-o", "json").stdout)
    assert [{"field": "mode", "before": "observe", "after": "enforce"}] == answer["changes"]
    assert [] == written(parameter)


def test_what_is_so_already_is_nothing_to_do(parameter: Aws) -> None:
    """Exit code 3."""
    assert (3, []) == (run("policy", "set", "mode=observe", "--yes").exit_code, written(parameter))


def test_a_change_that_somebody_else_made_meanwhile_is_not_lost(parameter: Aws) -> None:
    """The version is compared before it is written."""
    found = parameter.answers["ssm", "get_parameter"]["Parameter"]
    versions = iter((7, 8))
    parameter.answers["ssm", "get_parameter"] = lambda **_: {"Parameter": {**found, "Version": next(versions)}}
    done = run("policy", "set", "mode=off", "--yes")
    assert (1, []) == (done.exit_code, written(parameter))
    assert "somebody has written version 8 since" in done.stderr


def test_a_change_that_was_written_over_at_the_same_moment_is_named(parameter: Aws) -> None:
    """Systems Manager knows no condition: between the comparison and the call somebody may have switched the service off."""
    parameter.answers["ssm", "put_parameter"] = {"Version": 9}
    done = run("policy", "set", "notice_hours=24", "--yes")
    assert (1, 1) == (done.exit_code, len(written(parameter)))
    assert "written as version 9, over version 8 that somebody wrote at the same moment" in " ".join(
        done.stderr.split()
    )
    assert "imdsv2 policy diff --version 8" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mode: off", "holds no JSON object"),
        ("[]", "holds no JSON object"),
        ('{"mode": "enforc"}', "correct it: imdsv2 policy set FIELD=VALUE"),
        ('{"mode": "off", "mode": "enforce"}', "mode: is given twice"),
        ("[" * 100_000, "holds no JSON object"),
        ('{"max_enforcements_per_hour": -1}', "max_enforcements_per_hour"),
    ],
)
def test_a_policy_that_the_service_refuses_is_not_shown_as_one_in_force(parameter: Aws, text: str, says: str) -> None:
    """Defaults in its place would be a lie; nor is an exemption written by them."""
    parameter.answers["ssm", "get_parameter"]["Parameter"]["Value"] = text
    target = "arn:aws:ec2:eu-west-1:111111111111:instance/i-0a1b2c3d4e5f60718"
    for args in (["policy", "show"], ["exempt", target, "--until", "30d", "--yes"]):
        done = run(*args)
        assert (1, 1, "") == (done.exit_code, done.stderr.count("\n"), done.stdout)
        assert "refuses the policy that is written, and changes nothing meanwhile" in done.stderr
        assert says in done.stderr


def test_a_document_in_which_a_field_is_given_twice_is_refused(parameter: Aws, tmp_path: Path) -> None:
    """As the service would: whoever wrote it meant one of the two."""
    (tmp_path / "policy.json").write_text('{"mode": "observe", "mode": "enforce"}')
    done = run("policy", "set", "--from", str(tmp_path / "policy.json"), "--yes")
    assert (2, []) == (done.exit_code, written(parameter))
    assert "mode: is given twice; keep one" in done.stderr
