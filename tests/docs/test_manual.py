"""The manual builds without a warning, and its lists are complete."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from local.demo.newcomer import machines
from tests.docs.pages import DOCS, ROOT, all_pages
from tests.docs.sphinx import build, can_build

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.sphinx import Built

INDEX = (DOCS / "index.md").read_text()
LARGEST_PICTURE = 300_000
"""Bytes."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The manual beside what it reads of the repository, to be damaged."""
    for name in ("lambdas", "CHANGELOG.md", "node_modules"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "docs"


@can_build
def test_the_manual_builds_without_a_warning(manual: Built) -> None:
    """Every link leads somewhere, every page is in a list; nothing is loaded from elsewhere when it is read."""
    assert (0, "") == (manual.code, manual.complaints)
    loads = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]*)"')
    assert {} == {
        page.name: found for page in manual.pages.rglob("*.html") if (found := loads.findall(page.read_text()))
    }


@can_build
def test_a_fault_ends_the_build(copy: Path, tmp_path: Path) -> None:
    """A link to a page or a heading that is not there, a page that is in no list, and a list that names none: all are told."""
    faults = {
        "undo.md": "\nSee [that](nowhere.md) and [that](cli.md#nothing-of-the-kind).\n",
        "orphan.md": "# A page that nobody finds\n",
        "index.md": "\n```{toctree}\n:hidden:\n\nlost\n```\n",
    }
    for page, text in faults.items():
        with (copy / page).open("a") as file:
            file.write(text)
    done = build(copy, tmp_path / "built")
    assert 0 != done.code
    complaints = [line for line in done.complaints.splitlines() if "WARNING" in line or "ERROR" in line]
    for told in ("nowhere", "nothing-of-the-kind", "orphan", "lost"):
        assert [line for line in complaints if told in line], done.complaints


def test_the_front_page_links_every_page() -> None:
    """On GitHub there is no side bar: the lists of the front page are all that a reader has."""
    linked = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", INDEX)}
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - {"index.md"}
    assert pages == linked


def test_the_pictures_are_small_and_of_today() -> None:
    """They load nothing from elsewhere, and the list has the tutorial's instances: `make screenshots` takes them anew."""
    pictures = sorted((DOCS / "pictures").iterdir())
    assert {"explain.svg", "list.svg", "report.png", "status.svg"} == {each.name for each in pictures}
    assert all(0 < each.stat().st_size < LARGEST_PICTURE for each in pictures)
    drawn = {each.stem: each.read_text() for each in pictures if each.suffix == ".svg"}
    assert [] == [name for name, text in drawn.items() if re.search(r"(?:src|href|url\()\W*https?:", text)]
    for each in machines():
        assert each.name in drawn["list"]
        assert each.reason in drawn["list"]
    used = {link for page in all_pages().values() for link in re.findall(r"pictures/([\w.]+)\)", page)}
    assert {each.name for each in pictures} == used
