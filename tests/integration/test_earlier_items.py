"""Items as an earlier version of the service wrote them are read, judged, watched and written, and keep what this version does
not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.request import Source
from imdsv2.domain.texts.commands import command
from imdsv2.ledger.serialisation import changed_attributes, record_from
from tests.integration.builders import HUB, TABLE, asked
from tests.integration.guarding import HOUR, enforced, guard, live, probe, reject
from tests.integration.steering import reason, write

if TYPE_CHECKING:
    from tests.integration.builders import Cloud

EARLIER: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fixtures" / "earlier_items.json").read_text())
ITEMS = {item["pk"]["S"]: item for item in EARLIER["items"] if item["sk"]["S"] == "current"}
OF_INSTANCES = {name: ITEMS[arn] for name, arn in EARLIER["names"].items() if arn in ITEMS}
NEW = ("enforcing_at", "required_seen_at", "probe_at", "undone_at", "undone_by", "mended_at", "cleared_by")
"""What this version writes and the one before did not."""


# --- Kept items of all kinds -------------------------------------------------------------------------------------------


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
    assert (broke, stands) == (history.uncleared_rollback_at is not None, history.stands)


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


# --- Items under way when this version came ----------------------------------------------------------------------------


def as_before(cloud: Cloud, arn: InstanceArn) -> None:
    """Its item as the code before wrote it."""
    names = {f"#{number}": name for number, name in enumerate(NEW)}
    cloud.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": str(arn)}, "sk": {"S": "current"}},
        UpdateExpression="REMOVE " + ", ".join(names),
        ExpressionAttributeNames=names,
    )
    assert not set(NEW) & set(cloud.current(arn))


def test_a_watch_that_the_code_before_began_goes_on(cloud: Cloud) -> None:
    """Refused calls count from the enforcement, as far as it is known."""
    arn, clean = enforced(cloud), enforced(cloud)
    for each in (arn, clean):
        as_before(cloud, each)
    live(cloud, arn, clean, hours=25)
    probe(cloud, arn, at=cloud.clock() - 24 * HOUR)
    done = guard(cloud)
    assert (1, 0) == (done.verified, done.rolled_back)
    assert "probe_at" in cloud.current(arn)
    probe(cloud, arn)
    assert 1 == guard(cloud).rolled_back


def test_what_the_code_before_verified_is_recalled(cloud: Cloud) -> None:
    """Whatever its age."""
    arn = enforced(cloud)
    live(cloud, arn, hours=25)
    guard(cloud)
    as_before(cloud, arn)
    cloud.clock.move(days=70)
    reject(cloud, arn)
    assert 1 == guard(cloud, after=60).rolled_back


def test_what_the_code_before_put_back_gets_todays_command(cloud: Cloud) -> None:
    """Its explanation named a field that no request has any more."""
    arn = enforced(cloud)
    reject(cloud, arn)
    guard(cloud)
    as_before(cloud, arn)
    write(cloud, arn, explanation='It broke. It is held until: invoke the service by hand with "clear": true.')
    cloud.clock.move(hours=30)
    assert "broke_before" == reason(cloud, arn, Source.REVISIT)
    assert str(cloud.current(arn)["explanation"]).endswith(command("clear", arn))


def test_an_undo_that_the_code_before_recorded_as_breakage_stays_so(cloud: Cloud) -> None:
    """It knew no other word, and nobody knows better now."""
    arn = enforced(cloud)
    write(cloud, arn, status="rolling_back", lease_until=cloud.clock(), status_before="enforced", owner="x")
    write(
        cloud,
        arn,
        status="rolled_back",
        decision="hold",
        reason="broke_before",
        rolled_back_at=cloud.clock(),
        watch="done",
    )
    as_before(cloud, arn)
    cloud.set_options(arn, http_tokens="optional")
    assert "broke_before" == reason(cloud, arn, Source.REVISIT)
