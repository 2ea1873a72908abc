"""What the ledger keeps of members serves only for what it shows: of the time in the window, and of calls that were looked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.integration.builders import NOW
from tests.integration.test_cohort_evidence import FROM_TEMPLATE, IN_GROUP, REFUSED, run, see_start, use, young

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
USE = "MetadataNoToken"


def stopped(cloud: Cloud, arn: InstanceArn, *, started: timedelta, ran: timedelta) -> None:
    """It was last started that long ago, was seen to make no call then, and was stopped after some time."""
    each = cloud.instance(arn)
    each.launch_time, each._state.name = cloud.clock() - started, "stopped"
    end = cloud.clock() - started + ran
    each._reason = f"User initiated ({end:%Y-%m-%d %H:%M:%S} GMT)"
    see_start(cloud, arn, each.launch_time)
    points = cloud.metrics
    first, last = (int(when.timestamp()) // 3600 for when in (each.launch_time, end))
    points.put(arn.instance_id, USE, range(first, last))


def test_a_start_before_the_window_is_not_served_either(cloud: Cloud) -> None:
    """Three that were started and stopped six weeks ago were judged this morning; a fourth has run for the last eight days."""
    cloud.policy(mode="observe")
    old = cloud.launch(count=3, days=45, observed=False, tags=FROM_TEMPLATE)
    for arn in old:
        stopped(cloud, arn, started=44 * DAY, ran=2 * DAY)
    run(cloud, *old)
    cloud.clock.move(hours=2)
    long = young(cloud, hours=8 * 24, tags=FROM_TEMPLATE)
    new = young(cloud, hours=9, tags=FROM_TEMPLATE)
    verdict = run(cloud, *long, *new)[new[0]]
    assert "too_young" == verdict.reason
    assert "2 starts seen without a call" in verdict.explanation


def test_who_was_refused_since_a_stray_call_holds_the_others_within_a_day(cloud: Cloud) -> None:
    """The call is the same as ever. Somebody required tokens for an hour meanwhile."""
    cloud.policy(mode="observe")
    herd, stray = cloud.launch(count=8, tags=IN_GROUP), cloud.one(tags=IN_GROUP)
    use(cloud, stray, hours_ago=90, calls=1)
    assert "unused" == run(cloud, stray, *herd)[herd[0]].reason
    cloud.quiet(stray, 30)
    for arn in herd:
        first = int(NOW.timestamp()) // 3600
        cloud.metrics.put(arn.instance_id, USE, range(first, first + 30))
    for number in range(12):
        cloud.metrics.put_at(stray.instance_id, REFUSED, NOW + 20 * HOUR + number * timedelta(minutes=5), 9)
    verdicts = run(cloud, stray, *herd)
    assert "v1_in_use" == verdicts[stray].reason
    assert {"cohort_uses_v1"} == {str(verdicts[arn].reason) for arn in herd}
