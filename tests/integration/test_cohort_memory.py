"""What is known of a cohort's members outlives their end, a longer window, and a look that saw nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.integration.builders import NOW, arn_of
from tests.integration.steering import steer
from tests.integration.test_cohort_evidence import (
    FROM_TEMPLATE,
    IN_GROUP,
    REFUSED,
    end,
    reason,
    run,
    scaled,
    see_start,
    use,
    young,
)

if TYPE_CHECKING:
    from tests.integration.builders import Cloud

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_what_was_restarted_after_its_calls_and_then_ended_still_holds_the_others(cloud: Cloud) -> None:
    """Its last start is not its first."""
    quiet, loud = cloud.launch(count=2, tags=FROM_TEMPLATE)
    cloud.policy(mode="observe")
    assert "unused" == reason(cloud, quiet)
    use(cloud, loud, hours_ago=200)
    cloud.instance(loud).launch_time = cloud.clock() - 90 * HOUR
    cloud.quiet(quiet, 26)
    assert "cohort_uses_v1" == reason(cloud, quiet)
    end(cloud, loud)
    for _ in range(3):
        cloud.quiet(quiet, 2)
        assert "cohort_uses_v1" == reason(cloud, quiet)


@pytest.mark.parametrize("together", [True, False])
def test_what_was_stopped_nobody_knows_when_is_looked_at_all_the_same(cloud: Cloud, together: bool) -> None:
    """Of it there is no evidence; of its cohort, that it called ten days ago."""
    quiet, loud = cloud.launch(count=2, tags=FROM_TEMPLATE)
    use(cloud, loud, hours_ago=240)
    stopped = cloud.instance(loud)
    stopped.launch_time, stopped._state.name, stopped._reason = cloud.clock() - 2 * HOUR, "stopped", ""
    verdicts = run(cloud, quiet, *([loud] if together else []))
    assert "cohort_uses_v1" == verdicts[quiet].reason
    assert not together or "no_evidence" == verdicts[loud].reason
    cloud.clock.move(minutes=20)
    assert "cohort_uses_v1" == run(cloud, quiet, *([loud] if together else []))[quiet].reason


@pytest.mark.parametrize("judged", [True, False])
def test_a_policy_that_looks_back_farther_learns_what_lies_there(cloud: Cloud, judged: bool) -> None:
    """What was looked at through the shorter window, by the cohort or by a verdict of its own, says nothing of the time before."""
    quiet, loud = cloud.launch(count=2, tags=FROM_TEMPLATE)
    use(cloud, loud, hours_ago=20 * 24)
    cloud.policy(mode="observe", lookback_days=10)
    assert {"unused"} == {str(each.reason) for each in run(cloud, quiet, *([loud] if judged else [])).values()}
    cloud.policy(mode="observe", lookback_days=35)
    cloud.clock.move(minutes=10)
    assert "cohort_uses_v1" == reason(cloud, quiet)


def test_what_a_person_settled_stays_settled_on_the_same_day(cloud: Cloud) -> None:
    """Refused calls are known by the day; the member has ended, and is looked at once more after the word."""
    quiet, gone = cloud.one(tags=IN_GROUP), arn_of("dead5")
    scaled(cloud, ("launched", gone, 60), ("ended", gone, 1))
    see_start(cloud, gone, NOW - 60 * HOUR)
    cloud.metrics.put_at(gone.instance_id, REFUSED, NOW - 3 * HOUR, 12)
    assert "cohort_uses_v1" == reason(cloud, quiet)
    key = str(cloud.current(quiet)["cohort"])
    cloud.clock.move(minutes=5)
    steer(cloud, clear={"cohort": key}, caller="alice", reason="A scanner.", dry_run=False)
    cloud.quiet(quiet, 1.2)
    assert "unused" == reason(cloud, quiet)


def test_the_silence_of_a_disabled_endpoint_proves_nothing_after_the_end_either(cloud: Cloud) -> None:
    """EC2 shows the endpoint no more; the ledger knows of it."""
    one, *mute = young(cloud, hours=20) + young(cloud, hours=90, count=3)
    for arn in mute:
        cloud.set_options(arn, http_endpoint="disabled")
    assert {"endpoint_disabled"} == {str(each.reason) for each in run(cloud, *mute).values()}
    assert "too_young" == reason(cloud, one)
    for arn in mute:
        end(cloud, arn)
    cloud.quiet(one, 2)
    assert "too_young" == reason(cloud, one)


def test_what_was_looked_at_while_it_started_is_looked_at_again(cloud: Cloud) -> None:
    """Half an hour after its launch it had made no call yet; software calls most in its first hours."""
    cloud.policy(mode="observe")
    quiet, new = cloud.one(tags=FROM_TEMPLATE), young(cloud, hours=0.5)[0]
    assert "unused" == reason(cloud, quiet)
    cloud.quiet(quiet, 1)
    use(cloud, new, hours_ago=0.2)
    cloud.quiet(quiet, 1)
    assert "cohort_uses_v1" == reason(cloud, quiet)


def test_the_young_are_not_spoken_for_by_what_was_stopped_before_the_window(cloud: Cloud) -> None:
    """Two that called at their starts and every day until they were stopped, six weeks ago, and one that began today."""
    one, *old = young(cloud, hours=12, tags=FROM_TEMPLATE) + cloud.launch(count=2, days=200, tags=FROM_TEMPLATE)
    for arn in old:
        hour = int(NOW.timestamp() // 3600)
        cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(hour - 200 * 24, hour - 42 * 24), 2.0)
        stopped = cloud.instance(arn)
        stopped.launch_time, stopped._state.name = NOW - 70 * DAY, "stopped"
        stopped._reason = f"User initiated ({NOW - 42 * DAY:%Y-%m-%d %H:%M:%S} UTC)"
    assert "too_young" == reason(cloud, one)
