"""Items as an earlier version of the service wrote them are read, judged and written, and keep what this version does not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.request import Source
from imdsv2.ledger.serialisation import changed_attributes, record_from
from tests.integration.builders import HUB, TABLE, asked

if TYPE_CHECKING:
    from tests.integration.builders import Cloud

EARLIER: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fixtures" / "earlier_items.json").read_text())
ITEMS = {item["pk"]["S"]: item for item in EARLIER["items"] if item["sk"]["S"] == "current"}
OF_INSTANCES = {name: ITEMS[arn] for name, arn in EARLIER["names"].items() if arn in ITEMS}


def fill(cloud: Cloud) -> None:
    """Put all items into the table."""
    for item in EARLIER["items"]:
        cloud.as_account(HUB, "dynamodb").put_item(TableName=TABLE, Item=item)


@pytest.mark.parametrize("name", sorted(OF_INSTANCES))
def test_each_item_is_read(name: str) -> None:
    """What this version added is absent, and nothing is to be written for that."""
    record = record_from(OF_INSTANCES[name])
    assert record.version >= 1
    assert {} == changed_attributes(record, record)
    history = record.history
    assert (None, None, None, None) == (
        history.undone_at,
        history.required_seen_at,
        history.mended_at,
        history.proved_start,
    )


@pytest.mark.parametrize(
    ("name", "broke", "stands"),
    [("healthy", False, True), ("broken", True, False), ("undone", True, False), ("stuck", False, True)],
)
def test_what_it_says_of_the_past_still_counts(name: str, broke: bool, stands: bool) -> None:
    """An undo of then was recorded as a rollback: it holds the instance as before."""
    history = record_from(OF_INSTANCES[name]).history
    assert (broke, stands) == (history.broke, history.stands)


def test_all_are_judged_and_written(cloud: Cloud) -> None:
    """Their instances have gone by now; every item is written again, whatever it holds."""
    fill(cloud)
    arns = [InstanceArn.parse(arn) for arn in EARLIER["names"].values() if arn in ITEMS]
    outcomes = cloud.line().run([asked(arn, Source.REVISIT) for arn in arns], "request-1")
    assert {} == outcomes.failed
    assert set(arns) == set(outcomes.judged)
    versions = {str(arn): int(ITEMS[str(arn)]["version"]["N"]) for arn in arns}
    written = cloud.ledger().read(arns)
    assert all(record.version >= versions[str(arn)] for arn, record in written.items())


def test_attributes_of_another_version_are_kept(cloud: Cloud) -> None:
    """A later version that is rolled back finds what it had written."""
    item = {**OF_INSTANCES["used"], "of_a_later_version": {"S": "kept"}}
    cloud.as_account(HUB, "dynamodb").put_item(TableName=TABLE, Item=item)
    arn = InstanceArn.parse(item["pk"]["S"])
    cloud.line().run([asked(arn, Source.REVISIT)], "request-1")
    assert ("gone", "kept") == (cloud.current(arn)["reason"], cloud.current(arn)["of_a_later_version"])
