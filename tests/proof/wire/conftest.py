"""A local AWS of its own, whose functions reach it through the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.cloud.process import free_port
from local.cloud.run import LocalCloud
from tests.e2e.world import World
from tests.proof.wire.proxy import Proxy
from tests.proof.wire.world import Behind

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def behind() -> Iterator[Behind]:
    """The deployed stack in `enforce` mode behind the proxy, with the queue and the schedules under the tests' control."""
    port = free_port()
    with Proxy(port) as proxy, LocalCloud(port=port, environment={"AWS_ENDPOINT_URL": proxy.endpoint}) as cloud:
        cloud.deploy()
        world = World(cloud)
        behind = Behind(world, proxy)
        behind.watch()
        world.set_queue_listening(enabled=False)
        world.stop_schedules()
        world.set_policy({"mode": "enforce", "digest": "off"})
        yield behind
