"""Instances are judged with their cohort, on the deployed stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fixtures import events

if TYPE_CHECKING:
    from tests.e2e.world import World

VERSION = {"aws:ec2launchtemplate:id": "lt-0e2e", "aws:ec2launchtemplate:version": "3"}


def of_group(name: str) -> dict[str, str]:
    """The tags of a member of an Auto Scaling group."""
    return VERSION | {"aws:autoscaling:groupName": name}


def test_what_one_of_a_group_uses_holds_the_others(world: World) -> None:
    """Only the quiet one is asked about."""
    loud = world.launch(number=4, tags=of_group("loud"), calls={70: 12})
    quiet = world.launch_one(tags=of_group("loud"))
    world.send(events.config_change(quiet.instance_id))
    assert [("held", "cohort_uses_v1")] == world.verdicts([quiet])
    assert any(one.instance_id in world.current(quiet)["explanation"] for one in loud)
    assert "optional" == world.options(quiet)["HttpTokens"]


def test_a_young_one_is_judged_by_its_group(world: World) -> None:
    """Others have been observed for long enough, together."""
    world.launch(number=3, tags=of_group("young"), started=75.2)
    one = world.launch_one(tags=of_group("young"), started=11.3)
    world.send(events.config_change(one.instance_id))
    assert [("enforced", "cohort_unused")] == world.verdicts([one])
    assert "required" == world.options(one)["HttpTokens"]
    assert "4 instances (4 there, 0 gone)" in world.current(one)["explanation"]
