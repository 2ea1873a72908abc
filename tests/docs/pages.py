"""The pages of the manual, and the tables in them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"


def all_pages() -> dict[str, str]:
    """README and every page of the manual, by its path in the repository."""
    return {page.relative_to(ROOT).as_posix(): page.read_text() for page in [ROOT / "README.md", *DOCS.rglob("*.md")]}


def table(text: str, header: str) -> dict[str, str]:
    """First column to second of the table that begins with this header row, without backticks."""
    rows = {}
    for row in text.split(header, 1)[1].splitlines()[2:]:
        if not row.startswith("|"):
            break
        name, value = (cell.strip() for cell in row.split("|")[1:3])
        rows[name.strip("`")] = value.strip("`")
    return rows
