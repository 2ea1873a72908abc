"""docs/fleet.md has every column of the file of the fleet, with its meaning, and the version of the columns."""

from __future__ import annotations

import os
import re
from pathlib import Path

from imdsv2.domain.fleet_file import COLUMNS, LATEST, SCHEMA

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fleet.md"
_BLOCK = re.compile(r"(?<=<!-- generated: columns -->\n\n).*?(?=\n<!-- end of generated -->)", re.DOTALL)


def test_every_column_is_described() -> None:
    """KEEP=1 writes the table anew."""
    table = "| column | meaning |\n| --- | --- |\n" + "".join(
        f"| `{name}` | {text} |\n" for name, text in COLUMNS.items()
    )
    if os.environ.get("KEEP"):
        PAGE.write_text(_BLOCK.sub(lambda _: table, PAGE.read_text()))
    found = _BLOCK.search(PAGE.read_text())
    assert found is not None
    assert table == found[0]


def test_the_version_and_the_pointer_are_named() -> None:
    """What programs read first."""
    text = " ".join(PAGE.read_text().split())
    assert f"is the version of the columns, now {SCHEMA}." in text
    assert f"`{LATEST}`" in text
