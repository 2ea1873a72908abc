"""docs/culprit.md has the table of what is known, and commands that are taken."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from imdsv2.aws.role_deliveries import PAGES
from imdsv2.culprit.known import AGENTS, SDKS
from imdsv2.domain.evidence.pattern import AT_STARTS, IRREGULAR, ONCE, STEADY
from imdsv2.people.culprit.request import INSTANCES_A_CALL, CulpritQuestion
from imdsv2.people.culprit.run import MEMBERS_COMPARED
from imdsv2.people.request import parse

PATH = Path(__file__).resolve().parents[2] / "docs" / "culprit.md"
BLOCK = re.compile(r"(<!-- known -->\n).*?(<!-- end of known -->)", re.DOTALL)


def drawn(text: str) -> str:
    """The page with its table as it is in the code."""
    rows = ["| software | first version that uses IMDSv2 | said in |", "| --- | --- | --- |"]
    rows += [f"| {each.name} | {each.first_good or 'none'} | {each.source} |" for each in (*AGENTS, *SDKS)]
    table = "\n".join(rows)
    return BLOCK.sub(lambda block: f"{block[1]}\n{table}\n\n{block[2]}", text)


def test_the_table_is_that_of_the_code() -> None:
    """KEEP=1 writes it anew."""
    if os.environ.get("KEEP"):
        PATH.write_text(drawn(PATH.read_text()))
    assert drawn(PATH.read_text()) == PATH.read_text()


def test_its_payloads_are_taken() -> None:
    """For instances and for a cohort."""
    given = [parse(json.loads(each)) for each in re.findall(r"`(\{\"culprit\": .*?\})`", PATH.read_text())]
    assert {True, False} == {bool(each.targets) for each in given if isinstance(each, CulpritQuestion)}
    assert all(isinstance(each, CulpritQuestion) for each in given)


@pytest.mark.parametrize("pattern", [ONCE, AT_STARTS, STEADY, IRREGULAR])
def test_every_pattern_is_explained(pattern: str) -> None:
    """As the answer names it."""
    assert f"| `{pattern}` |" in PATH.read_text()


def test_its_figures_are_those_of_the_code() -> None:
    """Events, members and instances."""
    text = PATH.read_text()
    assert f"newest {50 * PAGES} events" in text
    assert f"up to {MEMBERS_COMPARED} that" in text
    assert f"{INSTANCES_A_CALL} instances at a time" in text
