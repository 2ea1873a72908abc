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
        (("--since", "150m"), None),
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


def test_an_empty_ledger_is_an_answer(ledger: list[dict[str, Any]]) -> None:
    """And says so."""
    assert ledger
    result = run("audit", "--account", "999999999999", "--kind", "broke")
    assert (0, "Nothing allows IMDSv1") == (result.exit_code, result.stdout[:21])
