"""The watch asks CloudWatch's list which instances refuse calls, and reads only these; at its end it reads all."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.integration.guarding import enforced, guard, live, probe, reject, restart

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

LIST, READ = "ListMetrics", "GetMetricData"


def read(cloud: Cloud, *, passes: int, minutes: float = 5) -> int:
    """How many metrics so many passes of the guard ask for."""
    made = len(cloud.wire.made(READ))
    for _ in range(passes):
        guard(cloud, after=minutes)
    return sum(len(call.params["MetricDataQueries"]) for call in cloud.wire.made(READ)[made:])


def listed_never(cloud: Cloud) -> None:
    """CloudWatch's list leaves out whatever there is."""
    cloud.wire.on(LIST, lambda _: {"Metrics": []})


def watched_for(cloud: Cloud, hours: float, *, count: int = 3) -> list[InstanceArn]:
    """Instances that were enforced so long ago, and a guard that passed just now."""
    arns = [enforced(cloud) for _ in range(count)]
    guard(cloud)
    live(cloud, *arns, hours=hours)
    guard(cloud)
    return arns


def test_in_the_first_two_hours_everything_is_read_at_every_pass(cloud: Cloud) -> None:
    """A metric that is new is listed a quarter of an hour late, and most of what breaks does so now."""
    watched_for(cloud, 0.5)
    assert 3 * 12 == read(cloud, passes=12)


def test_after_two_hours_nothing_is_read_of_what_refuses_nothing(cloud: Cloud) -> None:
    """One request of the list a pass, however many there are."""
    watched_for(cloud, 1.9)
    made = len(cloud.wire.made(LIST))
    assert 0 == read(cloud, passes=20)
    assert 20 == len(cloud.wire.made(LIST)) - made


def test_slow_reads_nothing_from_the_second_pass_on(cloud: Cloud) -> None:
    """The policy says so."""
    cloud.policy(mode="enforce", watch="slow")
    arns = [enforced(cloud) for _ in range(4)]
    assert [4, 0] == [read(cloud, passes=1), read(cloud, passes=10)]
    reject(cloud, arns[2])
    assert 1 == guard(cloud, after=6).rolled_back
    assert ["required", "required", "optional", "required"] == [cloud.tokens(each) for each in arns]


@pytest.mark.parametrize("hours", [2.5, 11, 23])
def test_what_is_listed_is_read_and_put_back(cloud: Cloud, hours: float) -> None:
    """It alone is read."""
    first, second, third = watched_for(cloud, hours)
    reject(cloud, second)
    cloud.clock.move(minutes=6)
    made = len(cloud.wire.made(READ))
    assert 1 == guard(cloud).rolled_back
    rejected = [
        [each["MetricStat"]["Metric"]["Dimensions"][0]["Value"] for each in call.params["MetricDataQueries"]]
        for call in cloud.wire.made(READ)[made:]
    ]
    assert [second.instance_id] == rejected[0]
    assert ("required", "optional", "required") == tuple(cloud.tokens(each) for each in (first, second, third))


def test_what_the_list_never_showed_is_read_at_the_end(cloud: Cloud) -> None:
    """Silence of the list proves nothing."""
    listed_never(cloud)
    clean, broken = watched_for(cloud, 1.5, count=2)
    for hours in (2, 4):
        probe(cloud, broken, at=cloud.clock() + timedelta(hours=hours))
    for _ in range(44):
        live(cloud, clean, broken, hours=0.5)
        done = guard(cloud, after=0)
        assert (0, 0) == (done.verified, done.rolled_back)
    live(cloud, clean, broken, hours=1)
    done = guard(cloud, after=0)
    assert (1, 1) == (done.verified, done.rolled_back)
    assert ("required", "optional") == (cloud.tokens(clean), cloud.tokens(broken))


def test_after_its_end_a_watch_is_read_by_the_hour(cloud: Cloud) -> None:
    """An instance of whose life CloudWatch knows nothing cannot be proved five minutes later either; what could not be read can."""
    watched_for(cloud, 1, count=1)
    for _ in range(25):
        guard(cloud, after=60)
    assert 2 * 3 == read(cloud, passes=3 * 12)


def test_once_proved_it_is_read_no_more(cloud: Cloud) -> None:
    """Neither in the hour after the end of its watch."""
    arns = watched_for(cloud, 1)
    for _ in range(23):
        live(cloud, *arns, hours=1)
        guard(cloud, after=0)
    assert 2 * 3 == read(cloud, passes=1, minutes=11)
    assert 0 == read(cloud, passes=6)


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling", "InternalServiceError"])
def test_where_it_cannot_be_listed_it_is_read(cloud: Cloud, code: str) -> None:
    """Roles of an older stack, a quota, or a failure of CloudWatch."""
    arns = watched_for(cloud, 5)
    cloud.wire.refuse(LIST, code)
    reject(cloud, arns[0])
    assert 1 == guard(cloud, after=6).rolled_back
    assert 2 * 2 == read(cloud, passes=2)


def test_after_a_pause_of_the_guard_everything_is_read(cloud: Cloud) -> None:
    """What was refused in the meantime may have left the list."""
    listed_never(cloud)
    arns = watched_for(cloud, 3)
    reject(cloud, arns[1])
    live(cloud, *arns, hours=4)
    assert 1 == guard(cloud).rolled_back


def test_what_shows_late_after_a_short_pause_of_the_guard_is_read(cloud: Cloud) -> None:
    """The list forgets it three hours after it happened; CloudWatch shows it two hours late, and the guard passes 70 minutes later."""
    listed_never(cloud)
    arns = watched_for(cloud, 4)
    refused_at = cloud.clock()
    live(cloud, *arns, hours=1.9)
    assert 0 == guard(cloud).rolled_back
    live(cloud, *arns, hours=1.2)
    for minutes in (1, 8):
        probe(cloud, arns[0], at=refused_at + timedelta(minutes=minutes))
    assert 1 == guard(cloud).rolled_back


def test_a_start_is_watched_closely_again(cloud: Cloud) -> None:
    """Boot software runs in its first minutes, in the first watch and in the second."""
    listed_never(cloud)
    first, second = watched_for(cloud, 6, count=2)
    restart(cloud, first)
    assert 12 == read(cloud, passes=12)
    live(cloud, first, second, hours=18)
    guard(cloud)
    assert ["verified", "verified"] == [cloud.current(each)["status"] for each in (first, second)]
    live(cloud, first, second, hours=40)
    guard(cloud)
    restart(cloud, second)
    cloud.clock.move(minutes=3)
    probe(cloud, second)
    assert 1 == guard(cloud).rolled_back


@pytest.mark.parametrize(("watch", "hours", "most"), [("fast", 0.2, 10), ("fast", 5, 30), ("slow", 0.2, 30)])
def test_how_long_it_takes_from_the_metric_to_the_rollback(cloud: Cloud, watch: str, hours: float, most: float) -> None:
    """CloudWatch lists a metric that is new a quarter of an hour after its first datapoint."""
    cloud.policy(mode="enforce", watch=watch)
    (arn,) = watched_for(cloud, hours, count=1)
    shown = cloud.clock() + timedelta(minutes=6)
    cloud.wire.on(LIST, lambda _: {"Metrics": []} if cloud.clock() < shown + timedelta(minutes=15) else None)
    reject(cloud, arn)
    while cloud.tokens(arn) == "required":
        guard(cloud)
    assert (cloud.clock() - shown) <= timedelta(minutes=most)


def test_what_broke_and_was_left_is_read_at_every_pass(cloud: Cloud) -> None:
    """People may put it back by a word in the policy at any time; what is told of it are its calls."""
    cloud.policy(mode="enforce", rollback="alert")
    arns = watched_for(cloud, 5)
    reject(cloud, arns[0])
    assert 1 == guard(cloud, after=6).left_broken
    live(cloud, *arns, hours=8)
    assert 4 <= read(cloud, passes=4)
    assert 1 == guard(cloud).left_broken
