"""Whoever has just started the local AWS learns how to get something to look at."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING

import local.__main__ as command
from local.cloud.run import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_start_says_that_the_fleet_is_empty_and_how_to_fill_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By targets that exist; nothing is started here."""
    cloud = SimpleNamespace(
        start=lambda: None,
        deploy=lambda: None,
        endpoint="http://127.0.0.1:1",
        log="log",
        pid=0,
        scratch=tmp_path,
        outputs={},
    )
    monkeypatch.setattr(command, "LocalCloud", lambda **_: cloud)
    monkeypatch.setattr(command, "STATE", tmp_path / "up.json")
    command.up()
    said = capsys.readouterr().err
    assert "There are no instances yet" in said
    named = set(re.findall(r"make (?:-s )?([a-z-]+)", said))
    assert {"local-account", "local-fleet", "local-env"} == named
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
    assert named <= targets


def test_an_installation_without_instances_names_what_tells_of_some() -> None:
    """On the local AWS as in an account: README's first commands begin with the sweep that fills the list."""
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"\$ imdsv2 sweep .*\n(.*\n)*?\$ imdsv2 list ", readme)
    first_day = (ROOT / "docs" / "tutorial.md").read_text()
    assert first_day.index("$ make local-up") < first_day.index("$ make local-account") < first_day.index("$ imdsv2 ")
