"""Role sessions expire or are revoked, and the work continues."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from local.cloud.run import MEMBERS
from tests.e2e.world import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.world import World

NOT_QUITE_NEW_SECONDS = 10.5
"""Only sessions older than ten seconds are considered the cause of a refusal."""
LONG_ENOUGH_SECONDS = 604
"""Sessions with less than ten minutes left are renewed; these reach that point after four seconds."""


@pytest.fixture
def short(world: World) -> Iterator[World]:
    """The deployed stack with short sessions."""
    world.cloud.sessions_last(LONG_ENOUGH_SECONDS)
    yield world
    world.cloud.sessions_last(None)


def test_an_instance_is_enforced_though_the_keys_end_half_way(world: World) -> None:
    """The keys are valid when the instance is described, and refused when it is tagged: the function opens a new
    session and continues."""
    one = world.launch_one(account=MEMBERS[1])
    world.ask({"targets": [one.arn]})
    time.sleep(NOT_QUITE_NEW_SECONDS)
    world.cloud.calls(reset=True)
    world.cloud.faults([{"account": MEMBERS[1], "action": "CreateTags", "latency_ms": 2_000, "times": 1}])
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(world.ask, {"targets": [one.arn], "dry_run": False})
        eventually(lambda: world.calls("CreateTags") or None, "the tag")
        assert 0 == world.calls("AssumeRole")
        world.cloud.end_sessions()
        [result] = asked.result()["results"]
    assert ("enforced", "unused") == (result["status"], result["reason"])
    assert "required" == world.options(one)["HttpTokens"]
    assert "imdsv2:enforced-at" in world.tags(one)


def test_a_warm_function_renews_its_sessions_before_they_end(short: World) -> None:
    """It reuses two sessions while they are valid for longer than it may run, and then opens two new ones without
    being refused first."""
    one = short.launch_one()
    short.ask({"targets": [one.arn]})
    time.sleep(NOT_QUITE_NEW_SECONDS)
    short.cloud.end_sessions()
    opened = []
    for pause in (0, 0, LONG_ENOUGH_SECONDS - 600 + 0.5):
        time.sleep(pause)
        short.cloud.calls(reset=True)
        [result] = short.ask({"targets": [one.arn]})["results"]
        assert ("unused", True) == (result["reason"], result["permitted"])
        opened.append(short.calls("AssumeRole"))
    assert [2, 0, 2] == opened
