"""CONTRIBUTING.md: what it tells people to run is there, and runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z]+)`", PAGE))))
def test_every_make_target_is_there(target: str) -> None:
    """And has its line in `make help`."""
    assert re.search(rf"^[a-z0-9 ]*\b{target}\b[a-z0-9 ]*:.*## ", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("part", ["unit", "integration", "infra", "local", "e2e", "docs"])
def test_every_part_of_the_tests_has_its_row(part: str) -> None:
    """With the command of a file of that part."""
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `make {part}` ")]
    assert f"-m pytest tests/{part}/" in row


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:tests|lambdas|docs)/[\w./-]+\.(?:py|md|txt)", PAGE))))
def test_every_file_that_is_named_is_there(path: str) -> None:
    """A command that names a file of yesterday helps nobody."""
    assert (ROOT / path).is_file()


def test_every_top_level_folder_is_in_the_map() -> None:
    """The map shows a newcomer where things are."""
    for folder in ("lambdas", "cli", "infra", "local", "docs", "tests"):
        assert f"{folder}/ " in PAGE


def test_the_command_of_one_test_runs_it() -> None:
    """As it stands in the page, from the repository's root."""
    [command] = re.findall(r"`\.venv/bin/python (-m pytest tests/unit/\S+ -k \w+)`", PAGE)
    run = subprocess.run([sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == run.returncode, run.stdout + run.stderr
    assert " passed" in run.stdout


def test_the_hooks_use_the_repository_s_own_tools() -> None:
    """No version is written down a second time."""
    assert {"ruff", "ruff-format", "mypy"} <= {hook["id"] for hook in HOOKS}
    assert {"system"} == {hook["language"] for hook in HOOKS}
