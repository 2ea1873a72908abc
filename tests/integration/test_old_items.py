"""Items that the code before wrote, without the attributes that came with the patterns of breakage, go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.commands import command
from tests.integration.builders import TABLE
from tests.integration.guarding import HOUR, enforced, guard, live, probe, reject
from tests.integration.test_departures import judge
from tests.integration.test_probes import write

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

NEW = ("enforcing_at", "required_seen_at", "probe_at", "undone_at", "undone_by", "mended_at", "cleared_by")


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
    assert ["broke_before"] == judge(cloud, arn)
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
    assert ["broke_before"] == judge(cloud, arn)
