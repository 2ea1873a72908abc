"""The README of the local AWS is complete: each module has its row, and what a row names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "local" / "server"
ROWS = {
    match[1]: match[0]
    for match in re.finditer(r"^\| `([\w/]+\.py)` \|.*$", (ROOT / "local" / "README.md").read_text(), re.MULTILINE)
}
MODULES = sorted(
    str(path.relative_to(SERVER)) for path in SERVER.rglob("*.py") if path.name not in {"__init__.py", "__main__.py"}
)


def test_each_module_has_its_row() -> None:
    """A new imitation has to say what it is held against; a row without its module is outdated."""
    assert MODULES == sorted(ROWS)


@pytest.mark.parametrize("module", MODULES)
def test_each_row_says_by_which_tests_it_is_held(module: str) -> None:
    """They are there, and the row is filled in."""
    cells = [cell.strip() for cell in ROWS[module].strip("|").split("|")]
    assert 4 == len(cells)
    assert all(cells)
    tests = re.findall(r"`(tests/[\w/]+\.py)`", cells[3])
    assert tests
    assert all((ROOT / test).is_file() for test in tests)
