"""A function's process is killed while AWS answers one of its calls; what it began is brought to the same end by the next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.instance import ENFORCED_TAG
from tests.fixtures import events
from tests.proof import tally
from tests.proof.killed.processes import killed_in

if TYPE_CHECKING:
    from tests.e2e.world import World


@pytest.mark.parametrize(
    ("action", "nth"),
    [
        ("CreateTags", 1),
        ("ModifyInstanceMetadataOptions", 1),
        pytest.param("DescribeInstances", 2, id="DescribeInstances-to-look-again"),
        pytest.param("DescribeInstances", 3, id="DescribeInstances-to-read-back"),
        ("Publish", 1),
    ],
)
def test_a_killed_function_leaves_nothing_undone(world: World, action: str, nth: int) -> None:
    """Enforced, tagged, confirmed and told, as if it had not been killed."""
    one = world.launch_one()
    finding = events.finding(one.arn, finding_id=f"{one.arn}/finding/{action}")
    body = json.dumps(events.imported(finding))
    world.messages()
    killed_in(world, body, action, nth)
    world.lease_ends(one)
    assert {"batchItemFailures": []} == world.remediate(body)
    world.lease_ends(one)
    world.revisit()
    world.guard()
    item = world.current(one)
    assert ("enforced", "open") == (item["status"], item["watch"])
    assert "required" == world.options(one)["HttpTokens"]
    assert ENFORCED_TAG in world.tags(one)
    assert ["enforcing", "enforced"] == world.history(one)
    told = [each for each in world.messages() if one.arn in each["Message"]]
    assert 1 <= len(told) <= 1 + (action == "Publish")
    assert item["confirmed"]
    tally.note("proof.kills", run=1, exist=1, violations=0)
