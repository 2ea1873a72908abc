"""The README is one page for a newcomer: what it names exists, and the first command is on the first screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import all_pages

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
SCREEN = 24
"""Lines of a small terminal."""


TARGETS = {
    each for page in all_pages().values() for each in re.findall(r"(?:`|\$ |\()make (?:-s )?([a-z][a-z0-9-]+)", page)
}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_make_target_that_is_named_exists(target: str) -> None:
    """A command copied from the README or the manual works."""
    targets = {name for line in re.findall(r"^([a-z0-9 -]+):", MAKEFILE, re.MULTILINE) for name in line.split()}
    assert target in targets


def test_demo_and_tests_are_named() -> None:
    """The two commands that somebody looks for first."""
    assert "$ make demo" in README
    assert "`make test`" in README


def test_the_first_command_is_on_the_first_screen() -> None:
    """Whoever looks for what to type need not scroll; nobody has to read a manual here."""
    lines = README.splitlines()
    assert "$ make demo" in lines[:SCREEN]
    assert len(lines) < 5 * SCREEN


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)h][^)#]*)(?:#[^)]*)?\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    """Links within the repository resolve, pictures too."""
    assert (ROOT / link).exists()


@pytest.mark.parametrize("page", [name for name, text in all_pages().items() if "$ npx cdk bootstrap" in text])
def test_a_deployment_from_a_fresh_checkout_installs_the_cdk_that_fits(page: str) -> None:
    """Without it, npx takes the newest command line, which may not read what this app writes."""
    lines = re.findall(r"^\$ (\S+ \S+)", all_pages()[page], re.MULTILINE)
    assert lines.index("npm ci") < lines.index("npx cdk")
    assert lines.index("pip install") < lines.index("npx cdk")


def test_an_upgrade_installs_the_cdk_that_fits_before_it_is_called() -> None:
    """The one of the old version is still there."""
    page = all_pages()["docs/upgrade.md"]
    assert 0 <= page.find("npm ci") < page.index("npx cdk")
