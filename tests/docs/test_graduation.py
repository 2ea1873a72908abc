"""docs/graduation.md has commands that are taken, and names what can be open and what the ledger says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from imdsv2.aws.past_launches import PAGES
from imdsv2.domain.graduation import Lock
from imdsv2.people.graduation.request import GraduationOrder
from imdsv2.people.request import parse

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "graduation.md").read_text()
COMMANDS = re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE)


def test_its_commands_are_taken() -> None:
    """Both steps and the undo, for real."""
    given = [parse(json.loads(each)) for each in COMMANDS]
    assert all(isinstance(each, GraduationOrder) and not each.dry_run for each in given)
    assert [(False, False), (True, False), (False, True)] == [
        (each.enforce, each.unlock) for each in given if isinstance(each, GraduationOrder)
    ]


@pytest.mark.parametrize("status", list(Lock))
def test_every_status_is_named(status: Lock) -> None:
    """As the ledger has it."""
    assert f"`{status}`" in PAGE


@pytest.mark.parametrize("what", ["instance", "watch", "source", "launch", "policy", "defaults", "account"])
def test_everything_that_can_be_open_is_explained(what: str) -> None:
    """In the table, and made by the code."""
    assert f"`{what}`" in PAGE
    code = "".join(
        (ROOT / "lambdas/imdsv2" / each).read_text()
        for each in ("source/readiness.py", "people/graduation/run.py", "people/graduation/look.py")
    )
    assert f'what="{what}"' in code


def test_the_number_of_launches_is_right() -> None:
    """Pages of 50."""
    assert f"{50 * PAGES:,} launches" in PAGE
