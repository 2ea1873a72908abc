"""A function's process is killed while AWS answers one of its calls; what it began is brought to the same end by the next."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.instance import ENFORCED_TAG
from tests.e2e.world import eventually
from tests.fixtures import events
from tests.proof import tally
from tests.proof.killed.processes import kill

if TYPE_CHECKING:
    from local.demo.fleet import Launched
    from tests.e2e.world import World

FUNCTION = "imdsv2-remediation-remediate"
HANGS_MS = 4_000


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
    _killed_in(world, body, action, nth)
    _lease_ends(world, one)
    assert {"batchItemFailures": []} == world.remediate(body)
    _lease_ends(world, one)
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


def _killed_in(world: World, body: str, action: str, nth: int) -> None:
    """Have a batch processed, and kill the function while that call of it hangs."""
    world.cloud.calls(reset=True)
    world.cloud.faults([{"action": action, "latency_ms": HANGS_MS, "only_after": nth - 1, "times": 1}])
    failed: list[BaseException] = []

    def process() -> None:
        try:
            world.remediate(body)
        except AssertionError as error:  # Lambda says that the function has ended.
            failed.append(error)

    thread = threading.Thread(target=process)
    thread.start()
    eventually(lambda: True if world.calls(action) >= nth else None, f"{action} #{nth}")
    kill(world.cloud.pid, FUNCTION)
    thread.join()
    world.cloud.faults()
    assert failed, "the function went on"


def _lease_ends(world: World, one: Launched) -> None:
    """Time passes until another may act."""
    item: dict[str, Any] = world.current(one)
    past = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    changes = {name: past for name in ("lease_until", "revisit_at") if name in item}
    if changes:
        world.change_ledger(one, **changes)
