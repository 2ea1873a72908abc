"""One local AWS with the deployed stack for all end-to-end tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.cloud.run import LocalCloud
from tests.e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def deployed() -> Iterator[World]:
    """The stack as `cdk deploy` sends it, without a batching window and with the schedule under the tests' control."""
    # What the sweep waits before it tries a place again, in less time.
    with LocalCloud(environment={"SFN_WAIT_SCALE": "0.01"}) as cloud:
        cloud.deploy()
        world = World(cloud)
        world.switch_batching_window_off()
        world.stop_schedules()
        yield world


@pytest.fixture
def world(deployed: World) -> World:
    """The deployed stack in `enforce` mode, with no faults and an empty dead-letter queue."""
    deployed.cloud.faults()
    deployed.set_policy({"mode": "enforce"})
    deployed.empty_dead_letters()
    deployed.forget_breakage()
    return deployed
