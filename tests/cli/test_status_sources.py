"""`imdsv2 status` names the sources that the alarm `left-broken` counts: the page to look at then must not be silent about them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli import test_fleet
from tests.cli.test_fleet import AT, arn

if TYPE_CHECKING:
    from tests.cli.test_fleet import Installation

here = test_fleet.here

KEY = "aws/222222222222/eu-west-1/auto_scaling_group:shop"
BROKE = "2026-11-29T07:00:00.000000Z"


def keep(here: Installation, **values: str) -> None:
    """The item of a source that the service changed."""
    known = {"pk": "sources", "sk": KEY, "at": "2026-11-29T07:30:00.000000Z", **values}
    here.table.put_item(Item={name: {"S": value} for name, value in known.items()} | {"version": {"N": "1"}})


def told(here: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(here.said("status", "-o", "json"))["sources_left_broken"]
    return found


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"status": "fixed", "broken_by": str(arn(1)), "broken_at": BROKE}, f"imdsv2 undo --source {KEY}"),
        ({"status": "verified", "broken_by": str(arn(1)), "broken_at": BROKE}, f"imdsv2 clear {arn(1).instance_id}"),
        ({"status": "going_back"}, "nothing: the guard brings it to its end"),
        ({"status": "going_back", "hindered_by": "UnauthorizedOperation"}, "refuses to put it back (UnauthorizedOp"),
    ],
)
def test_a_source_that_is_left_broken_is_told(here: Installation, values: dict[str, str], says: str) -> None:
    """With what to do; also while the fleet has no other trouble."""
    keep(here, **values)
    assert [KEY] == [each["source"] for each in told(here)]
    said = here.said("status")
    assert ("source left broken" in said, says in said) == (True, True), said


@pytest.mark.parametrize(
    "values",
    [
        {"status": "fixed"},
        {"status": "verified"},
        {"status": "gone_back", "broken_by": str(arn(1)), "broken_at": BROKE},
        {"status": "failed"},
        {"status": "announced"},
    ],
)
def test_a_source_that_waits_for_nobody_is_left_out(here: Installation, values: dict[str, str]) -> None:
    """What went back has its message, and the instance that broke is in a row of its own."""
    keep(here, **values)
    assert [] == told(here)


@pytest.mark.parametrize(("hours", "open_"), [(1, 0), (2, 0), (3, 1)])
def test_what_a_person_has_cleared_is_settled(here: Installation, hours: int, open_: int) -> None:
    """Since it broke, not before."""
    keep(here, status="fixed", broken_by=str(arn(1)), broken_at=BROKE)
    here.record(arn(1), AT - timedelta(hours=4), cleared_at=AT - timedelta(hours=hours))
    assert open_ == len(told(here))
