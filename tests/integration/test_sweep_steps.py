"""The three steps of a sweep, as the state machine has them carried out one after another."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from imdsv2.aws.s3 import SweepFiles
from imdsv2.sweep.order import SweepOrder
from imdsv2.sweep.summary import SweepEnd
from imdsv2.sweep.tally import Tally
from imdsv2.wiring.sweep import build_sweep
from tests.fixtures.events import finding, finding_v2
from tests.integration.builders import MEMBER, REGION
from tests.integration.sourcing import know_defaults
from tests.world.bucket import Bucket

if TYPE_CHECKING:
    from imdsv2.sweep.summary import Summary
    from imdsv2.wiring.sweep import Sweep
    from tests.integration.builders import Cloud

NIGHT = "night"


@pytest.fixture
def bucket() -> Bucket:
    """An empty one."""
    return Bucket()


@pytest.fixture
def sweep(cloud: Cloud, bucket: Bucket) -> Sweep:
    """The steps, for one account."""
    know_defaults(cloud)
    return build_sweep(cloud.function(), SweepFiles(cast("Any", bucket), "results"), lambda: [MEMBER])


def region_step(sweep: Sweep, place: dict[str, Any], *, times: int = 99) -> dict[str, Any]:
    """The second step's tally, as the state machine passes it on. ``times``: how often it is told that there is time."""
    left = iter([True] * times + [False] * 99)
    tally = sweep.region.run(Tally.from_document(place), "request", dry_run=False, has_time=left.__next__)
    return cast("dict[str, Any]", json.loads(json.dumps(tally.document())))


def summed(sweep: Sweep, bucket: Bucket, *tallies: dict[str, Any]) -> Summary:
    """The last step, after the map of the state machine has written what came of the places."""
    results = [{"Output": json.dumps(each)} for each in tallies]
    bucket.objects["results.json"] = json.dumps(results).encode()
    bucket.objects["manifest.json"] = json.dumps({"ResultFiles": {"SUCCEEDED": [{"Key": "results.json"}]}}).encode()
    end = SweepEnd(execution=NIGHT, manifest="manifest.json", unreachable=f"{NIGHT}/unreachable.json", dry_run=False)
    return sweep.summing.run(end)


def places(sweep: Sweep, **order: Any) -> list[dict[str, Any]]:
    """What the first step plans for one Region."""
    planned = sweep.planning.run(SweepOrder(dry_run=False, regions=(REGION,), **order), NIGHT)
    assert (1, 0) == (planned.places, planned.blocked)
    return cast("list[dict[str, Any]]", sweep.files.read(planned.key))


def test_what_one_step_leaves_is_what_the_next_begins_with(cloud: Cloud, sweep: Sweep, bucket: Bucket) -> None:
    """One instance is enforced, counted, and a row of the fleet; a sweep of one Region is not the whole."""
    arn = cloud.one()
    [place] = places(sweep)
    tally = region_step(sweep, place)
    assert (None, 1, {"unused": 1}) == (tally["after"], tally["imdsv1_allowed"], tally["by_verdict"])
    assert "enforced" == cloud.current(arn)["status"]
    summary = summed(sweep, bucket, tally)
    assert (1, 1, 0, 0) == (summary.looked_for, summary.document["instances"], summary.errors, summary.blocked)
    assert not summary.is_whole
    assert {summary.key, summary.fleet} <= bucket.objects.keys()


@pytest.mark.parametrize("hub", ["cspm", "v2"])
def test_what_was_suppressed_before_the_service_came_is_held(cloud: Cloud, sweep: Sweep, hub: str) -> None:
    """No event has told of its finding; from then on, the ledger knows it."""
    held, other = cloud.one(), cloud.one()
    if hub == "cspm":
        cloud.hub.holds(finding(str(held)), workflow="SUPPRESSED")
        cloud.hub.holds(finding(str(other)))
    else:
        cloud.hub.holds(finding_v2(held.instance_id, status_id=3), finding_v2(other.instance_id))
    [place] = places(sweep)
    tally = region_step(sweep, place)
    assert {"suppressed": 1, "unused": 1} == tally["by_verdict"]
    assert ("optional", "required") == (cloud.tokens(held), cloud.tokens(other))
    assert [hub == "v2"] == [each.is_v2 for each in cloud.ledger().read([held])[held].findings.values()]


def test_what_is_no_longer_suppressed_is_judged_as_before(cloud: Cloud, sweep: Sweep) -> None:
    """The gate asks for it as it is by then."""
    arn = cloud.one()
    suppressed = finding(str(arn))
    cloud.hub.holds(suppressed, workflow="SUPPRESSED")
    [place] = places(sweep)
    cloud.hub.holds(suppressed, workflow="NEW")
    assert {"unused": 1} == region_step(sweep, place)["by_verdict"]


@pytest.mark.parametrize("change", [{"Resources": [{"Type": "AwsS3Bucket", "Id": "b"}]}, {"ProductArn": "arn:theirs"}])
def test_a_suppressed_finding_of_something_else_holds_nothing(
    cloud: Cloud, sweep: Sweep, change: dict[str, Any]
) -> None:
    """Somebody's own product may use the id of the control."""
    arn = cloud.one()
    cloud.hub.holds({**finding(str(arn)), **change}, workflow="SUPPRESSED")
    [place] = places(sweep)
    assert "suppressed" not in place
    assert {"unused": 1} == region_step(sweep, place)["by_verdict"]


@pytest.mark.parametrize("operation", ["GetFindings", "GetFindingsV2"])
def test_where_a_hub_cannot_be_asked_now_no_sweep_begins(cloud: Cloud, sweep: Sweep, operation: str) -> None:
    """It would change what somebody may have suppressed."""
    cloud.wire.refuse(operation, "TooManyRequestsException", status=429)
    with pytest.raises(ClientError, match="TooManyRequests"):
        places(sweep)


@pytest.mark.parametrize("code", ["InvalidAccessException", "ResourceNotFoundException", "ValidationException"])
def test_without_a_hub_a_sweep_begins_all_the_same(cloud: Cloud, sweep: Sweep, code: str) -> None:
    """Config alone may find what allows IMDSv1, and the newer hub is not to be had everywhere."""
    cloud.one()
    cloud.wire.refuse("GetFindings", code)
    cloud.wire.refuse("GetFindingsV2", code)
    [place] = places(sweep)
    assert {"unused": 1} == region_step(sweep, place)["by_verdict"]


def test_sources_that_no_time_is_left_for_are_judged_by_the_next_invocation(cloud: Cloud, sweep: Sweep) -> None:
    """The instances are not judged again for it."""
    cloud.one()
    [place] = places(sweep)
    left = region_step(sweep, place, times=0)
    assert ("~", {}) == (left["after"], left.get("sources", {}))
    done = region_step(sweep, left)
    assert (None, 1, {"unused": 1}) == (done["after"], done["imdsv1_allowed"], done["by_verdict"])


def test_a_sweep_of_everything_is_noted(cloud: Cloud, sweep: Sweep, bucket: Bucket) -> None:
    """Its age, of which an alarm tells, begins anew."""
    sweeps = cloud.function().sweeps
    sweeps.ended(cloud.clock() - timedelta(days=2))
    sweep.planning.run(SweepOrder(dry_run=False), NIGHT)
    summary = summed(sweep, bucket)
    assert summary.is_whole
    sweep.summing.conclude(summary.fleet, NIGHT)
    assert sweeps.age(cloud.clock()) < timedelta(minutes=1)
