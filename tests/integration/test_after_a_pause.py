"""The guard after hours or days in which it did not run: what was refused meanwhile is found, though CloudWatch's list of the last
hours has it no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.guarding import guard, guard_that_dies, live, probe, reject
from tests.integration.test_recall import LIST, started_since, status, verified
from tests.integration.test_source_fix import (
    defaults,  # noqa: F401 - used by the tests of sources
    item,
)
from tests.integration.test_source_fix import verified as proved_source

if TYPE_CHECKING:
    from tests.integration.builders import Cloud


@pytest.mark.parametrize("hours", [4, 30, 4 * 24])
def test_a_job_that_failed_while_the_guard_stood_still_is_put_back_by_its_first_pass(cloud: Cloud, hours: int) -> None:
    """It was proved long before, so that no watch reads its metric."""
    arn = started_since(cloud)
    live(cloud, arn, hours=10)
    guard(cloud)
    live(cloud, arn, hours=0.5)
    reject(cloud, arn)
    live(cloud, arn, hours=hours)
    assert 1 == guard(cloud).rolled_back
    assert ("rolled_back", "optional") == status(cloud, arn)


def test_after_a_pause_that_failed_once_the_next_pass_looks_as_far_back(cloud: Cloud) -> None:
    """CloudWatch could not be asked: the claim is given back, with the time of the pass before."""
    arn = started_since(cloud)
    guard(cloud)
    reject(cloud, arn)
    live(cloud, arn, hours=20)
    cloud.wire.refuse(LIST, "InternalFailure", status=500, times=1)
    assert 1 == guard(cloud).failed
    assert 1 == guard(cloud).rolled_back


def test_a_probe_of_that_time_is_told_and_opens_nothing(cloud: Cloud) -> None:
    """One knock is none more because it is found late."""
    arn = verified(cloud)
    guard(cloud)
    probe(cloud, arn)
    live(cloud, arn, hours=50)
    assert 0 == guard(cloud).rolled_back
    assert ("verified", "required") == status(cloud, arn)
    assert "probe_or_breakage" == cloud.current(arn)["left_because"]


def test_what_was_refused_longer_ago_than_a_week_is_not_dug_out(cloud: Cloud) -> None:
    """Nobody misses the answer any more."""
    arn = started_since(cloud)
    guard(cloud)
    reject(cloud, arn)
    live(cloud, arn, hours=9 * 24)
    assert 0 == guard(cloud).rolled_back
    assert ("verified", "required") == status(cloud, arn)


def test_passes_without_a_pause_ask_for_the_last_hours_only(cloud: Cloud) -> None:
    """The list of two weeks is longer, and costs more."""
    verified(cloud)
    cloud.wire.calls.clear()
    for _ in range(13):
        guard(cloud)
    asked = [call.params.get("RecentlyActive") for call in cloud.wire.made(LIST)]
    assert {"PT3H"} == set(asked)


def test_a_source_whose_member_broke_meanwhile_goes_back(cloud: Cloud) -> None:
    """Also where the first pass comes at no full hour."""
    _, member = proved_source(cloud)
    guard(cloud)
    reject(cloud, member)
    cloud.clock.move(hours=30, minutes=(25 - cloud.clock().minute) % 60)
    assert 10 < cloud.clock().minute < 50
    assert 1 == guard(cloud).rolled_back
    assert ("gone_back", str(member)) == (item(cloud)["status"], item(cloud)["broken_by"])


@pytest.mark.parametrize("killed", [1, 3])
@pytest.mark.parametrize("operation", [LIST, "DescribeInstances", "GetMetricData"])
def test_after_a_pass_that_was_killed_the_next_looks_as_far_back(cloud: Cloud, operation: str, killed: int) -> None:
    """It had claimed the account, so that its beginning is on record, and what it looked for is not."""
    arn = started_since(cloud)
    guard(cloud)
    reject(cloud, arn)
    live(cloud, arn, hours=26)
    for _ in range(killed):
        guard_that_dies(cloud, operation)
    assert 1 == guard(cloud).rolled_back
    assert ("rolled_back", "optional") == status(cloud, arn)


def test_passes_that_are_killed_for_hours_are_a_pause(cloud: Cloud) -> None:
    """Each of them was begun half an hour after the one before."""
    arn = started_since(cloud)
    cloud.clock.move(minutes=(57 - cloud.clock().minute) % 60)
    guard(cloud, after=0)
    reject(cloud, arn)
    for _ in range(8):
        live(cloud, arn, hours=0.5)
        guard_that_dies(cloud, LIST)
    cloud.wire.calls.clear()
    assert 1 == guard(cloud).rolled_back
    assert {None} == {call.params.get("RecentlyActive") for call in cloud.wire.made(LIST)}


def test_the_recall_of_an_hour_is_made_up_for_when_its_pass_was_killed(cloud: Cloud) -> None:
    """Else what has been proved would be looked at an hour later."""
    arn = started_since(cloud)
    cloud.clock.move(minutes=(57 - cloud.clock().minute) % 60)
    guard(cloud, after=0)
    reject(cloud, arn)
    live(cloud, arn, hours=0.1)
    guard_that_dies(cloud, LIST)
    assert cloud.clock().minute < 15
    assert 1 == guard(cloud).rolled_back


def test_a_long_look_that_came_to_its_end_is_not_repeated(cloud: Cloud) -> None:
    """Neither that of the first pass, nor that after a pause."""
    arn = verified(cloud)
    for _ in range(2):
        cloud.wire.calls.clear()
        for _ in range(4):
            guard(cloud, after=20)
        asked = [call.params.get("RecentlyActive") for call in cloud.wire.made(LIST)]
        assert "PT3H" == asked[-1]
        assert asked.count(None) <= 1
        assert cloud.accounts().of(arn).unseen_since is None
        live(cloud, arn, hours=5)
