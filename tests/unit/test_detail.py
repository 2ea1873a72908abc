"""What subscribers get of the audit trail: the detail of an event, its schema, and what happens if the bus does not take it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from imdsv2.aws.bus import Bus
from imdsv2.ledger.detail import ALWAYS, SOMETIMES, detail_of, schema
from imdsv2.ledger.trail import SCHEMA, Kind

ARN = "arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0"
KEY = "2027-05-01T06:00:00.000000Z#0a1b2c3d4e5f"


def item(pk: str = ARN, **attributes: Any) -> dict[str, Any]:
    """An event as the stream has it."""
    known = {"kind": "hold_set", "schema": SCHEMA, "service_version": "1.0", "trail_day": "2027-05-01#3"}
    values = {"pk": pk, "sk": f"decision#{KEY}", **known, **attributes}
    return {name: TypeSerializer().serialize(value) for name, value in values.items()}


def test_a_detail_says_what_happened_and_to_what() -> None:
    """In plain JSON, without the keys of the table."""
    detail = detail_of(item(caller="ann", policy_version=12, replaces={"by": "ben", "until": "2027-05-31"}))
    assert {
        "version": SCHEMA,
        "id": f"{KEY}#{ARN}",
        "at": "2027-05-01T06:00:00.000000Z",
        "kind": "hold_set",
        "target": ARN,
        "account": "222222222222",
        "region": "eu-west-1",
        "instance_id": "i-0123456789abcdef0",
        "caller": "ann",
        "policy_version": 12,
        "replaces": {"by": "ben", "until": "2027-05-31"},
        "service_version": "1.0",
    } == json.loads(json.dumps(detail))


@pytest.mark.parametrize(
    ("pk", "expected"),
    [
        ("account#aws/222222222222", {"account": "222222222222"}),
        (
            "cohort#aws/222222222222/eu-west-1/group:jobs@lt-0e5f+3",
            {"account": "222222222222", "region": "eu-west-1"},
        ),
        ("policy", {}),
    ],
)
def test_not_everything_is_about_an_instance(pk: str, expected: dict[str, str]) -> None:
    """Breakers belong to accounts, some words to cohorts, and the policy to nobody."""
    detail = detail_of(item(pk, difference=json.dumps({"mode": {"before": "observe", "after": "off"}})))
    assert expected == {name: detail[name] for name in ("account", "region", "instance_id") if name in detail}
    assert {"mode": {"before": "observe", "after": "off"}} == detail["difference"]
    assert pk == detail["target"]


def test_the_schema_names_everything_that_is_sent() -> None:
    """Always and sometimes are different things."""
    described = schema()
    assert set(described["properties"]) == ALWAYS.keys() | SOMETIMES.keys()
    assert not ALWAYS.keys() & SOMETIMES.keys()
    assert set(described["required"]) <= set(detail_of(item()))
    assert [str(each) for each in Kind] == described["properties"]["kind"]["enum"]


class Events:
    """EventBridge that refuses one entry by its number among all."""

    def __init__(self, refuses: int | None) -> None:
        self.sent: list[dict[str, Any]] = []
        self._refuses = refuses

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's names
        assert len(Entries) <= 10
        answers = []
        for each in Entries:
            refused = len(self.sent) == self._refuses
            self.sent.append(each)
            answers.append({"ErrorCode": "ThrottlingException"} if refused else {"EventId": "e"})
        return {"Entries": answers}


@pytest.mark.parametrize(("refuses", "taken"), [(None, 23), (0, 0), (17, 17)])
def test_what_comes_before_the_first_refusal_is_taken(refuses: int | None, taken: int) -> None:
    """The rest is delivered again, so that nothing is lost; some of it may come twice."""
    events = Events(refuses)
    details = [detail_of(item(caller=f"caller-{number}")) for number in range(23)]
    assert taken == Bus(events, "bus", "imdsv2-remediation").put(details)
    first = events.sent[0]
    assert ("bus", "imdsv2-remediation", "hold_set", [ARN]) == tuple(
        first[name] for name in ("EventBusName", "Source", "DetailType", "Resources")
    )
    assert json.loads(first["Detail"]) == details[0]
