"""The command `culprit` on the local AWS: real processes call without a token, and are named by their command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e import analyzer, planting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.world import World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The stack with the setting `capture`."""
    with planting.deployed() as world:
        yield world


def test_every_planted_caller_is_named(world: World, tmp_path: Path) -> None:
    """By its command line; what uses tokens is not. Whoever asks later sees it in the ledger."""
    done = planting.plant(world, tmp_path)
    captures = {name: each["capture"] for name, each in done.found.items()}
    assert {"captured"} == {each["state"] for each in captures.values()}, captures
    assert list(planting.CALLERS) == done.named, captures
    assert ["curl"] == [each["name"] for each in done.processes("backup.sh")]
    assert [] == done.processes("modern.py")
    kept = world.ask({"culprit": {"targets": [done.fleet["collector.py"].arn]}})["results"][0]["captured"]
    assert ("ada", done.processes("collector.py")) == (kept["caller"], kept["processes"])
    assert done.found["collector.py"]["when"]["calls"] > 5


def test_an_instance_without_systems_manager_gets_the_commands(world: World) -> None:
    """And nothing is run."""
    [one] = world.launch(calls=planting.CALLED)
    result = planting.watched(world, one)[one.instance_id]
    assert "refused" == result["capture"]["state"]
    assert "imds_snoop.py" in " ".join(result["capture"]["by_hand"])


def test_another_artefact_is_not_run(world: World) -> None:
    """Its digest is another."""
    planting.upload(world, b"something else")
    try:
        [one] = world.launch(tags=planting.MANAGED, calls=planting.CALLED)
        result = planting.watched(world, one)[one.instance_id]
    finally:
        planting.upload(world, analyzer.packed())
    assert "failed" == result["capture"]["state"]
    assert "SHA-256 is another" in result["capture"]["says"]
