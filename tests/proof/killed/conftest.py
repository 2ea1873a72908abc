"""A local AWS of its own: functions are killed in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from local.cloud.run import LocalCloud
from tests.e2e.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The deployed stack in `enforce` mode, with the queue and the schedules under the tests' control."""
    if os.environ.get("PROOF") != "long":
        pytest.skip("starts a local AWS: PROOF=long")
    with LocalCloud() as cloud:
        cloud.deploy()
        world = World(cloud)
        world.set_queue_listening(enabled=False)
        world.stop_schedules()
        world.set_policy({"mode": "enforce", "digest": "off"})
        yield world
