"""Functions whose clocks differ by seconds: who writes later has seen what was written before, whatever the clocks say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.guarding import ROLLED_BACK_TAG, enforced, guard, live, reject
from tests.integration.steering import named, reason, steer

if TYPE_CHECKING:
    from tests.integration.builders import Cloud


@pytest.mark.parametrize("seconds", [2, 9])
def test_a_clearance_counts_though_the_clock_of_its_function_is_behind(cloud: Cloud, seconds: int) -> None:
    """An automation that hears of the rollback may clear it within a second."""
    arn = enforced(cloud)
    live(cloud, arn, hours=1)
    reject(cloud, arn)
    assert 1 == guard(cloud, after=10).rolled_back
    cloud.clock.move(seconds=-seconds)
    assert [True] == [each["done"] for each in steer(cloud, clear=named(arn))]
    cloud.clock.move(minutes=1)
    assert reason(cloud, arn) not in {"broke_before", "changed_back"}


def test_an_undo_right_after_the_change_is_an_undo_though_its_clock_is_behind(cloud: Cloud) -> None:
    """It is told as one, tagged, and nobody takes it for a person's own change of the options."""
    arn = enforced(cloud)
    cloud.clock.move(seconds=-6)
    assert [True] == [each["done"] for each in steer(cloud, undo=named(arn))]
    told = [each["Subject"].partition(":")[0] for each in cloud.published()]
    assert ["IMDSv1 switched off", "IMDSv1 switched on again"] == told
    for _ in range(3):
        guard(cloud)
    current = cloud.current(arn)
    assert ("rolled_back", "undone_by_person", "done") == (current["status"], current["reason"], current["watch"])
    assert {ROLLED_BACK_TAG} == set(cloud.tags(arn))
    assert len(told) == len(cloud.published())
    assert "undone_by_person" == reason(cloud, arn)
