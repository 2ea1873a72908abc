"""`imdsv2 audit` in process: what it reads, how it chooses, and what it says where there is nothing."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from imdsv2.ledger.trail import trail_day
from tests.cli.conftest import run
from tests.world.bucket import Bucket
from tests.world.rows import fill, row

if TYPE_CHECKING:
    from tests.cli.conftest import Aws

NOW = datetime.now(UTC)
ARN = "arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0"
OTHER = ARN.replace("222222222222", "333333333333")


def stored(**values: Any) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in values.items()}


def event(kind: str, hours: int, pk: str = ARN, **values: Any) -> dict[str, Any]:
    """An event so many hours ago."""
    when = NOW - timedelta(hours=hours)
    sk = f"{'event' if kind == 'status_changed' else 'decision'}#{when:%Y-%m-%dT%H:%M:%S.%fZ}#{hours:012x}"
    known = {"kind": kind, "schema": 1, "service_version": "1.0", "request_id": "r", "trail_day": trail_day(when, pk)}
    return stored(pk=pk, sk=sk, **known, **values)


@pytest.fixture
def ledger(aws: Aws) -> list[dict[str, Any]]:
    """The ledger's items, which the indexes give; a scan would find no answer."""
    items = [
        event("hold_set", 5, caller="ann", because="=cmd()", until="2027-05-31"),
        event("hold_released", 3, caller="ben", replaces={"by": "ann"}),
        event("broke", 2, OTHER),
        event(
            "policy_changed", 1, "policy", caller="cleo", difference='{"mode": {"before": "observe", "after": "off"}}'
        ),
    ]
    records = [
        stored(
            pk=ARN, sk="current", status="held", reason="v1_in_use", changed_at="2027-01-01", explanation="3 calls."
        ),
        stored(pk=OTHER, sk="current", status="enforced", reason="unused"),
    ]

    def query(**request: Any) -> dict[str, Any]:
        values = request["ExpressionAttributeValues"]
        if request["IndexName"] == "due":
            return {"Items": [each for each in records if values[":shard"]["N"] == "0"]}
        found = [
            each
            for each in items
            if each["trail_day"] == values[":day"] and values[":first"]["S"] <= each["sk"]["S"] <= values[":last"]["S"]
        ]
        return {"Items": found}

    def batch(**request: Any) -> dict[str, Any]:
        [(table, wanted)] = request["RequestItems"].items()
        keys = [each["pk"] for each in wanted["Keys"]]
        return {"Responses": {table: [each for each in records if each["pk"] in keys]}}

    aws.answers["dynamodb", "query"], aws.answers["dynamodb", "batch_get_item"] = query, batch
    return items


@pytest.fixture
def fleet(ledger: list[dict[str, Any]], aws: Aws) -> Bucket:
    """The file of the last sweep beside the ledger, with one instance."""
    bucket = Bucket()
    fill(bucket, [row(7, instance_id=ARN.rpartition("/")[2])], oldest=f"{NOW:%Y-%m-%dT%H:%M:%S.%fZ}")
    aws.answers["s3", "get_object"] = bucket.get_object
    [stack] = aws.answers["cloudformation", "describe_stacks"]["Stacks"]
    stack["Outputs"].append({"OutputKey": "SweepBucketName", "OutputValue": "results"})
    return bucket


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_one_command_answers_an_auditor(ledger: list[dict[str, Any]]) -> None:
    """What allows IMDSv1 comes first, then the decisions in their order; what is enforced is no answer."""
    assert ledger
    result = run("audit", "--since", "30d", "--format", "csv")
    assert 0 == result.exit_code, result.output
    found = rows(result.stdout)
    expected = ["allows_imdsv1", "hold_set", "hold_released", "broke", "policy_changed"]
    assert expected == [each["kind"] for each in found]
    assert ["the service", "ann", "ben", "the service", "cleo"] == [each["who"] for each in found]
    assert "'=cmd()" == found[1]["because"]
    assert "mode: observe -> off" == found[4]["explanation"]


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (("--account", "333333333333"), ["broke", "policy_changed"]),
        (("--instance", "i-0123456789abcdef0", "--who", "ben"), ["hold_released"]),
        (("--who", "ANN"), ["hold_set"]),
        (("--kind", "broke", "--kind", "hold_set"), ["hold_set", "broke"]),
        (("--since", "150x"), None),
        (("--since", "4h", "--events-only"), ["hold_released", "broke", "policy_changed"]),
        (("--until", "4h", "--events-only"), ["hold_set"]),
        (("--kind", "brok"), None),
    ],
)
def test_it_tells_what_was_asked_for(
    options: tuple[str, ...], kinds: list[str] | None, ledger: list[dict[str, Any]]
) -> None:
    """A time or a kind that does not exist is refused."""
    assert ledger
    result = run("audit", *options, "--output", "json")
    if kinds is None:
        assert 2 == result.exit_code
        return
    assert kinds == [each["kind"] for each in json.loads(result.stdout)["events"]]


THERE = "aws/222222222222/eu-west-1"


@pytest.mark.parametrize(
    ("kind", "pk", "about"),
    [
        ("source_fixed", f"source#{THERE}/auto_scaling_group:shop:7", "auto_scaling_group shop:7"),
        ("image_required", f"image#{THERE}/ami-0a1b2c3d", "ami-0a1b2c3d"),
        ("defaults_unlocked", f"defaults#{THERE}", "metadata defaults"),
    ],
)
def test_it_tells_of_sources_amis_and_defaults(kind: str, pk: str, about: str, ledger: list[dict[str, Any]]) -> None:
    """By their names, in the account and Region in which they are."""
    ledger.append(event(kind, 4, pk, caller="dora", status="done", because="Proved."))
    asked = ("audit", "--kind", kind, "--account", "222222222222", "--in-region", "eu-west-1")
    [found] = json.loads(run(*asked, "--output", "json").stdout)["events"]
    assert (about, pk, "dora", "Proved.") == (found["about"], found["target"], found["who"], found["because"])
    assert about == rows(run(*asked, "--format", "csv").stdout)[0]["about"]
    assert about in run(*asked).stdout
    assert [] == json.loads(run(*asked[:-1], "us-east-1", "--output", "json").stdout)["events"]


def test_it_says_on_what_evidence_and_on_whose_word_an_instance_was_changed(ledger: list[dict[str, Any]]) -> None:
    """What an auditor asks of one instance, in each form: the sentence, who approved, and the options before and after."""
    options = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}
    why = "No IMDSv1 call since 2026-10-25."
    said: dict[str, Any] = {
        "status": "enforcing",
        "explanation": why,
        "approved_by": "dora, request r-9",
        "before": options,
    }
    ledger.append(event("status_changed", 4, **said))
    ledger.append(event("status_changed", 3, status="enforced", after={**options, "HttpTokens": "required"}))
    ledger.append(event("status_changed", 2, status="failed", error={"code": "Unsupported", "message": "No."}))
    asked = ("audit", "--instance", "i-0123456789abcdef0", "--kind", "status_changed")
    began, ended, failed = json.loads(run(*asked, "--output", "json").stdout)["events"]
    assert (why, "dora, request r-9", options) == tuple(
        began[each] for each in ("explanation", "approved_by", "before")
    )
    assert ("required", None) == (ended["after"]["HttpTokens"], ended["approved_by"])
    assert "Unsupported" == failed["error"]["code"]
    assert "HttpTokens=optional, HttpPutResponseHopLimit=2" == rows(run(*asked, "--format", "csv").stdout)[0]["before"]
    table = run(*asked).stdout
    assert "dora, request r-9" in table
    assert all(each in table for each in ("-> enforcing", "-> enforced", "-> failed")), (
        "also where the status has no room"
    )


def test_a_caller_is_shown_by_account_and_name(ledger: list[dict[str, Any]]) -> None:
    """What precedes these in an ARN takes the room of what counts; JSON has it all."""
    caller = "arn:aws-us-gov:sts::111111111111:assumed-role/Operator/alice"
    ledger.append(event("approved", 4, caller=caller))
    asked = ("audit", "--kind", "approved")
    assert caller not in (table := run(*asked).stdout)
    assert "111111111111:assumed-role/Operator/alice" in table
    assert caller == json.loads(run(*asked, "-o", "json").stdout)["events"][0]["who"]


def test_an_empty_ledger_is_an_answer(ledger: list[dict[str, Any]]) -> None:
    """And says so; what was not looked at is not said."""
    assert ledger
    result = run("audit", "--account", "999999999999", "--until", "90m")
    assert (0, "Nothing allows IMDSv1") == (result.exit_code, result.stdout[:21])
    result = run("audit", "--account", "999999999999", "--kind", "broke")
    assert (0, "Nothing of that kind was decided") == (result.exit_code, result.stdout[:32])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--account", "22222222222"], "is no account id of 12 digits"),
        (["--in-region", "eu-wst-1"], "Did you mean eu-west-1?"),
        (["--since", "yesterday"], "--since takes a moment"),
        (["--until", "0001-01-01T00:00:00+09:00"], "--until takes a moment"),
        (["--instance", "wbe-7"], "did you mean web-7?"),
        (["--instance", ARN, "--account", "333333333333"], "it is in account 222222222222, eu-west-1"),
        (["--instance", "arn:aws:s3:::bucket"], "is no instance"),
        (["--instance", "group:web"], "is a cohort"),
    ],
)
def test_what_cannot_be_meant_is_refused(fleet: Bucket, args: list[str], says: str) -> None:
    """An empty answer would hide the slip."""
    assert fleet
    done = run("audit", *args)
    assert (2, 1) == (done.exit_code, done.stderr.count("\n"))
    assert says in done.stderr


@pytest.mark.parametrize("name", [ARN, ARN.rpartition("/")[2], "web-7"])
def test_an_instance_is_named_as_anywhere_else(fleet: Bucket, name: str) -> None:
    """By ARN, by id, or by its tag Name."""
    assert fleet
    told = json.loads(run("audit", "--instance", name, "-o", "json").stdout)
    # An id alone is looked for in every account.
    assert {"hold_set", "hold_released"} == {
        each["kind"] for each in told["events"] if each["account"] == "222222222222"
    }
    assert name.startswith("i-") is ("broke" in {each["kind"] for each in told["events"]})


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--account", "222222222223"], "No instance is in 222222222223; did you mean 222222222222?"),
        (["--account", "222222222222", "--in-region", "us-east-1"], "No instance is in us-east-1"),
        (["--instance", "i-0000000000000dead"], "imdsv2 list --instance i-0000000000000dead"),
    ],
)
def test_nothing_found_says_what_was_likely_meant(fleet: Bucket, args: list[str], says: str) -> None:
    """On standard error: the answer itself is empty, and a success."""
    assert fleet
    done = run("audit", *args)
    assert (0, True) == (done.exit_code, says in done.stderr)


def test_minutes_and_uppercase_are_spans_as_anywhere_else(ledger: list[dict[str, Any]]) -> None:
    """And what is older than the service is not asked for day by day."""
    assert ledger
    for since, kinds in (("90m", ["policy_changed"]), ("150M", ["broke", "policy_changed"])):
        told = json.loads(run("audit", "--since", since, "--events-only", "-o", "json").stdout)
        assert kinds == [each["kind"] for each in told["events"]]
    assert "2020-01-01" == json.loads(run("audit", "--since", "1066-10-14", "-o", "json").stdout)["since"][:10]


def test_one_is_one(ledger: list[dict[str, Any]]) -> None:
    """Of what allows IMDSv1, and of decisions."""
    assert ledger
    assert "1 allows IMDSv1; 1 decision since " in run("audit", "--since", "90m").stdout
