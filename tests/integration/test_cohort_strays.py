"""A stray call or a probe on one member of a cohort, as the line meets it: whom it holds, and what is asked for to know."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.integration.builders import NOW
from tests.integration.test_cohort_evidence import IN_GROUP, REFUSED, VERSION, asked_about, end, run, scaled, use, young

if TYPE_CHECKING:
    from tests.integration.builders import Cloud

HOUR = timedelta(hours=1)
ENOUGH = 8
"""So many that ran through the window have 5,040 hours and more."""


@pytest.mark.parametrize("together", [True, False])
def test_one_call_holds_who_made_it_and_nobody_else(cloud: Cloud, together: bool) -> None:
    """Whether or not it is judged with the others; and it is told."""
    herd, stray = cloud.launch(count=ENOUGH, tags=IN_GROUP), cloud.one(tags=IN_GROUP)
    use(cloud, stray, hours_ago=90, calls=1)
    verdicts = run(cloud, *herd, *([stray] if together else []))
    assert {"unused"} == {str(verdicts[arn].reason) for arn in herd}
    assert f"{stray.instance_id} made 1 IMDSv1 call" in verdicts[herd[0]].explanation
    assert "v1_in_use" == run(cloud, stray)[stray].reason


def test_of_a_few_it_holds_all(cloud: Cloud) -> None:
    """Who learn what is lacking."""
    *herd, stray = cloud.launch(count=4, tags=IN_GROUP)
    use(cloud, stray, hours_ago=90, calls=1)
    verdict = run(cloud, herd[0])[herd[0]]
    assert "cohort_uses_v1" == verdict.reason
    assert "once members without any call were observed for 5040 hours" in verdict.explanation


@pytest.mark.parametrize("ago", [(90, 90, 90), (90, 70, 50)])
def test_what_goes_on_holds_all(cloud: Cloud, ago: tuple[int, ...]) -> None:
    """Three calls in an hour, or in three."""
    herd, loud = cloud.launch(count=ENOUGH + 2, tags=IN_GROUP), cloud.one(tags=IN_GROUP)
    for hours in set(ago):
        use(cloud, loud, hours_ago=hours, calls=ago.count(hours))
    assert {"cohort_uses_v1"} == {str(each.reason) for each in run(cloud, *herd).values()}


@pytest.mark.parametrize(("calls", "reason"), [(1, "unused"), (2, "cohort_uses_v1")])
def test_one_refused_call_is_a_probe_and_two_on_a_day_are_not(cloud: Cloud, calls: int, reason: str) -> None:
    """As the guard sees it."""
    herd = cloud.launch(count=ENOUGH, tags=IN_GROUP)
    strict = cloud.one(tokens="required", tags=IN_GROUP)
    for number in range(calls):
        cloud.metrics.put_at(strict.instance_id, REFUSED, NOW - 50 * HOUR + number * timedelta(minutes=25), 1)
    assert reason == run(cloud, herd[0])[herd[0]].reason


def test_it_is_looked_at_closely_once(cloud: Cloud) -> None:
    """For as long as its calls are the same: after that, it is asked about only because it is judged itself."""
    herd, stray = cloud.launch(count=ENOUGH, tags=IN_GROUP), cloud.one(tags=IN_GROUP)
    use(cloud, stray, hours_ago=90, calls=1)
    run(cloud, *herd, stray)
    asked = []
    for judged in ([stray], [stray, herd[0]]):
        cloud.clock.move(hours=2)
        before = asked_about(cloud, [stray])
        verdicts = run(cloud, *judged)
        asked.append(asked_about(cloud, [stray]) - before)
    assert "cohort_uses_v1" != verdicts[herd[0]].reason
    assert asked[0] == asked[1]


def test_what_an_earlier_version_made_once_does_not_keep_the_new_one_waiting(cloud: Cloud) -> None:
    """Its own evidence outweighed that call; more calls are another thing."""
    old = cloud.launch(count=ENOUGH + 1, days=50, tags=IN_GROUP | {VERSION: "2"})
    use(cloud, old[0], hours_ago=300, calls=1)
    run(cloud, *old)
    members = young(cloud, count=4, tags=IN_GROUP)
    for arn in old:
        end(cloud, arn)
    scaled(cloud, *(("ended", arn, 1) for arn in old))
    verdict = run(cloud, members[0])[members[0]]
    assert "cohort_unused" == verdict.reason
