"""What a script gets: every row in a pipe, numbers as numbers, names from standard input, and what two versions make of each other."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.version import VERSION
from imdsv2_cli.base import App
from imdsv2_cli.output import Column, Table, as_table
from tests.cli import test_fleet
from tests.cli.conftest import OUTPUTS, run
from tests.cli.test_verdicts import ACCOUNT, ARNS
from tests.cli.test_verdicts import Fleet as Verdicts
from tests.world.rows import KEY, fill, row

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Aws
    from tests.cli.test_fleet import Installation

here = test_fleet.here


def test_a_pipe_gets_every_instance_of_the_list(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """`grep` and `wc` would take a hundred for all; only a terminal is spared the others."""
    fill(here.bucket, [row(number) for number in range(130)])
    assert 130 == here.said("list").count("web-")
    assert "" == run("list").stderr
    assert 7 == here.said("list", "--limit", "7").count("web-")
    monkeypatch.setattr("imdsv2_cli.commands.fleet_list.is_terminal", lambda _: True)
    assert 100 == here.said("list").count("web-")


def test_a_row_in_a_pipe_is_one_line_however_long_it_is() -> None:
    """Nothing of it is cut off, and columns stay below their headers, also with letters of double width."""
    rows: list[dict[str, str | None]] = [
        {"name": "\u6771\u4eac", "says": "x" * 30_000},
        {"name": "web-1", "says": "end"},
        {"name": None, "says": "z"},
    ]
    head, first, second, third, *rest = as_table(Table((Column("name"), Column("says")), rows), to_screen=False).split(
        "\n"
    )
    assert ("name   says", "\u6771\u4eac   " + "x" * 30_000, "web-1  end", "       z") == (head, first, second, third)
    assert [""] == rest


def test_numbers_are_numbers_in_json_and_what_is_not_known_is_null(here: Installation) -> None:
    """To jq, every text is greater than any number: `select(.calls > 0)` would select all."""
    fill(here.bucket, [row(1, calls=12, coverage="0.9876", owner=""), row(2, calls="", coverage="", boot_calls=0)])
    document = json.loads(here.said("list", "-o", "json", "--name", "web"))
    assert 2 == document["count"]
    first, second = document["instances"]
    assert (12, 1, None) == (first["calls"], first["hop_limit"], first["owner"])
    assert (None, "2026-11-28T05:00:00Z") == (second["calls"], second["last_call"])
    assert first.keys() == second.keys()
    explained = json.loads(here.said("explain", "web-1", "-o", "json"))["instance"]
    assert (12, 0.9876, None) == (explained["calls"], explained["coverage"], explained["boot_calls"])
    members = json.loads(here.said("explain", "group:web", "-o", "json"))["members"]
    assert [(12, None), (None, 0)] == [(each["calls"], each["boot_calls"]) for each in members]


def test_json_says_how_many_there_are_beside_a_limit(here: Installation) -> None:
    """The note about it is on standard error, which a script seldom reads."""
    fill(here.bucket, [row(number) for number in range(9)])
    document = json.loads(here.said("list", "-o", "json", "--limit", "2"))
    assert (9, 2) == (document["count"], len(document["instances"]))


def test_times_in_json_are_utc_wherever_somebody_sits(here: Installation) -> None:
    """boto3 gives times of Step Functions in the zone of the computer."""
    started = datetime(2026, 11, 29, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    here.aws.answers["stepfunctions", "list_executions"] = {"executions": [{"status": "RUNNING", "startDate": started}]}
    here.policy(mode="observe")
    document = json.loads(here.said("status", "-o", "json"))
    assert "2026-11-29T03:00:00Z" == document["sweep"]["last_run"]["started_at"]
    assert ("2026-11-29T09:00:00Z", "2026-11-29T06:00:00Z") == (document["at"], document["policy"]["changed_at"])
    assert "2026-11-29T06:00:00Z" == json.loads(here.said("policy", "show", "-o", "json"))["modified_at"]


def test_what_status_counts_as_not_judged_can_be_listed(here: Installation) -> None:
    """By the word that it uses."""
    fill(here.bucket, [row(1), row(2, reason="", decision="", status="", calls="")])
    assert {"not_judged": 1, "v1_in_use": 1} == json.loads(here.said("status", "-o", "json"))["fleet"]["by_reason"]
    assert {test_fleet.arn(2).instance_id} == here.listed("--reason", "not_judged").keys()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "standard input is closed"),
        (io.TextIOWrapper(io.BytesIO(b"web\n\xff\xfew"), "utf-8"), "is no UTF-8 text"),
    ],
)
def test_standard_input_that_has_no_names_is_told(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, given: Any, says: str
) -> None:
    """In one line: a closed one, and a file of another encoding."""
    aws.on_invoke("manual", Verdicts(web="unused"))
    monkeypatch.setattr("imdsv2_cli.naming.sys", type("Sys", (), {"stdin": given, "stderr": sys.stderr}))
    done = run("assess", "-")
    assert (2, 1) == (done.exit_code, done.stderr.count("\n")), done.output
    assert says in done.stderr


def test_an_instance_that_is_named_like_its_own_id_is_one_instance(aws: Aws) -> None:
    """Some tools write the id into the tag Name; another one that bears it as its name is not meant either."""
    own = ARNS[1].rpartition("/")[2]
    fleet = Verdicts(web="unused", db="unused")
    fleet.names = {ARNS[1]: own, ARNS[0]: "web"}
    aws.on_invoke("manual", fleet)
    done = run("assess", own, "web", "-o", "json")
    assert [ARNS[1], ARNS[0]] == [each["target"] for each in json.loads(done.stdout)["results"]], done.output
    fleet.names = {ARNS[1]: "db", ARNS[0]: own}
    assert 0 == run("assess", own, "db", "--account", ACCOUNT).exit_code


@pytest.mark.parametrize("args", [("sources",), ("images",), ("assess",)])
def test_a_fleet_of_which_the_answer_has_only_a_part_is_told(aws: Aws, args: tuple[str, ...]) -> None:
    """Accounts that come after it would be passed over in silence."""
    found = {"count": 20_001, "results": [], "unknown": [], "problems": []}
    aws.on_invoke("manual", found)
    aws.on_invoke("check", {"versions": {"outdated": []}, "results": [], "unproved": []})
    assert "Only the first 0 of 20001 instances are looked at" in run(*args).stderr


def of_version(aws: Aws, version: str) -> None:
    """The stack says that it is of a version."""
    outputs = {**OUTPUTS, "Version": version}
    stack = {"Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]}
    aws.answers["cloudformation", "describe_stacks"] = {"Stacks": [stack]}


REFUSED = {"error": {"code": "InvalidRequest", "message": "find.places is no field; known are names"}}


def test_a_service_of_another_version_that_refuses_a_request_is_told_as_such(aws: Aws) -> None:
    """It may never have heard of what this command line asks."""
    of_version(aws, "0.5.0")
    aws.on_invoke("manual", REFUSED)
    there = ("--account", ACCOUNT, "--in-region", "eu-west-1")
    said = run("assess", *there).stderr
    assert (1, True) == (
        said.count("\n"),
        f"the service is of version 0.5.0, and this command line of {VERSION}" in said,
    )
    of_version(aws, VERSION)
    assert "version" not in run("assess", *there).stderr


def test_an_answer_of_another_version_that_lacks_something_is_no_trace(aws: Aws) -> None:
    """With the same version it is a bug, and keeps its trace."""
    aws.on_invoke("manual", {"count": 0, "results": [], "problems": []})
    of_version(aws, "9.0.0")
    done = run("sources", "--account", ACCOUNT, "--in-region", "eu-west-1")
    assert (1, 1) == (done.exit_code, done.stderr.count("\n")), done.output
    assert "is not understood: KeyError: 'images'; the service is of version 9.0.0" in done.stderr
    of_version(aws, VERSION)
    assert isinstance(run("sources", "--account", ACCOUNT, "--in-region", "eu-west-1").exception, KeyError)


def test_an_earlier_policy_is_compared_as_it_is(aws: Aws) -> None:
    """Fields that are named beside it would have been passed over in silence."""
    for args in (("mode=off",), ("--unset", "mode")):
        done = run("policy", "diff", "--version", "3", *args)
        assert (2, True) == (done.exit_code, "leave out --version" in done.stderr)


def test_the_list_of_a_forgotten_file_is_that_of_the_ledger(here: Installation) -> None:
    """After 90 days the bucket has lost it; the fleet is not empty for that."""
    fill(here.bucket, [row(1)])
    del here.bucket.objects["night/instances.csv.gz"]
    at = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
    here.record(test_fleet.arn(3), at, revisit_at=at + timedelta(days=1))
    assert {test_fleet.arn(3).instance_id} == here.listed().keys()


def test_the_region_of_a_profile_in_the_account_is_not_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The instances say it."""
    from botocore.client import BaseClient

    from imdsv2_cli.commands.exempt import _ec2

    config = tmp_path / "config"
    config.write_text("[profile member]\naws_access_key_id = AKIA\naws_secret_access_key = secret\n")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setattr(BaseClient, "_make_api_call", lambda *_: {"Account": ACCOUNT})
    assert "eu-north-1" == _ec2(App(), ACCOUNT, "eu-north-1", None, "member").meta.region_name


@pytest.mark.parametrize(
    "args", [("sources",), ("images",), ("assess", "--account", ACCOUNT), ("sources", "--account", ACCOUNT)]
)
def test_the_places_of_the_last_sweep_are_looked_at_before_the_ledger_knows_them(
    here: Installation, args: tuple[str, ...]
) -> None:
    """A dry sweep writes nothing to the ledger; README's first hour has no other."""
    fill(here.bucket, [row(1), row(2, region="us-east-1"), row(3, region="us-east-1")])
    empty = {"count": 0, "results": [], "images": [], "unknown": [], "problems": []}
    here.aws.on_invoke("manual", empty)
    assert 0 == run(*args).exit_code
    asked, *questions = here.aws.payloads()
    places = [{"account": ACCOUNT, "region": region} for region in ("eu-west-1", "us-east-1")]
    assert places == asked["find"]["places"]
    if "assess" not in args:
        assert places == [each["sources"] for each in questions]


def test_guardrails_that_looked_at_nothing_say_so(aws: Aws) -> None:
    """Zero would be denied in no account at all."""
    answer = {"places": 0, "count": 0, "results": [], "problems": [], "summary": "In 0 accounts and Regions."}
    aws.on_invoke("manual", answer)
    assert "Nothing was looked at" in run("guardrails").stderr


def test_a_name_that_only_a_dry_sweep_knows_is_found_by_every_command(here: Installation) -> None:
    """`list` shows it; the ledger has never heard of its account."""
    fill(here.bucket, [row(1, region="us-east-1")])
    there = str(test_fleet.arn(1)).replace("eu-west-1", "us-east-1")

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        if "find" not in asked:
            return {"command": "hold", "dry_run": True, "count": 0, "results": []}
        known = {"region": "us-east-1", "account": ACCOUNT} in asked["find"].get("places", [])
        found = [{"target": there, "name": "web-1", "http_tokens": "optional"}] if known else []
        unknown = [] if known else [{"name": each, "likely": None} for each in asked["find"]["names"]]
        return {"count": len(found), "results": found, "unknown": unknown, "problems": []}

    here.aws.on_invoke("manual", answer)
    for name in ("web-1", test_fleet.arn(1).instance_id):
        run("hold", name, "--owner", "blue", "--reason", "Migration.", "--until", "30d", "--dry-run")
        assert {"targets": [there]} == here.aws.payloads()[-1]["hold"]
    assert "no instance is called web-2; name its ARN" in run("release", "web-2").stderr


@pytest.mark.parametrize("column", ["approval", "hold_until", "left_because", "boot_calls", "ends_on"])
def test_a_file_of_a_service_that_knows_fewer_columns_is_read(here: Installation, column: str) -> None:
    """A column may be added under the same version: between an upgrade and the next sweep, the file has not got it."""
    fill(here.bucket, [row(1), row(2)])
    lines = gzip.decompress(here.bucket.objects[KEY]).decode().splitlines()
    without = [[*each] for each in csv.reader(lines)]
    number = without[0].index(column)
    text = io.StringIO()
    csv.writer(text).writerows([cell for at, cell in enumerate(each) if at != number] for each in without)
    here.bucket.objects[KEY] = gzip.compress(text.getvalue().encode())
    for command in (("list",), ("status",), ("explain", "web-1"), ("report", "--format", "markdown")):
        assert here.said(*command)
    assert json.loads(here.said("explain", "web-1", "-o", "json"))["instance"][column] is None


def test_what_stands_below_a_table_is_harmless_too(aws: Aws) -> None:
    """A service says in it what others wrote."""
    hit = {"guardrail": "launches", "blocked": True, "account": ACCOUNT, "region": "eu-west-1", "name": "web"}
    answer = {"places": 1, "count": 1, "results": [hit], "problems": [], "summary": "1 source\x1b[2J\u202e."}
    aws.on_invoke("manual", answer)
    said = run("guardrails").stdout
    assert ("1 source." in said, "\x1b" in said, "\u202e" in said) == (True, False, False)


def test_what_no_sweep_could_see_is_no_empty_account(here: Installation) -> None:
    """Nothing that allows IMDSv1 is listed, and nobody knows whether that is all."""
    fill(
        here.bucket,
        [row(1, http_tokens="required")],
        unreachable={"999999999999": "AccessDenied on AssumeRole"},
        errors={"222222222222 us-east-1": "UnauthorizedOperation"},
    )
    said = here.said("list", "--still-v1")
    assert "2 accounts or Regions were not seen, and may have more: imdsv2 status names them." in said
    assert {"999999999999", "222222222222 us-east-1"} == json.loads(here.said("list", "-o", "json"))["unseen"].keys()
    fill(here.bucket, [row(1)], unreachable={"999999999999": "no role"})
    assert "1 account or Region was not seen" in here.said("list")
    fill(here.bucket, [row(1)])
    assert "not seen" not in here.said("list")
    assert {} == json.loads(here.said("list", "-o", "json"))["unseen"]
