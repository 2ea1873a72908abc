"""The generated parts of the reference are up to date, and its lists are complete."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from typing import Any

import pytest

from imdsv2.ledger.record import Record
from tests.docs.pages import DOCS, REFERENCE, ROOT, table
from tests.docs.reference_pages import BLOCKS, drawn
from tests.docs.templates import MEMBER, SERVICE

RENEW = "KEEP" in os.environ
PAGES = sorted({page for page, _ in BLOCKS.values()})
KEPT: list[dict[str, Any]] = json.loads((ROOT / "tests/integration/kept/items.json").read_text())
PUBLISHED = re.compile(r'(?:_count\(metrics, |_gauge\(|add_metric\(name=)"(\w+)"')


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_what_code_and_templates_say(page: str) -> None:
    """A new attribute, statement or alarm requires the page to be written anew."""
    path = REFERENCE / f"{page}.md"
    text = drawn(page)
    if RENEW:
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("page", PAGES)
def test_an_outdated_page_is_noticed(page: str) -> None:
    """A comparison that accepts everything would prove nothing: without its generated rows, each page is another."""
    for name in (name for name, (where, _) in BLOCKS.items() if where == page):
        [block] = re.findall(rf"<!-- generated: {name} -->\n(.*?)<!-- end of generated -->", drawn(page), re.DOTALL)
        assert len([line for line in block.splitlines() if line.startswith("| ")]) > 10


def test_every_attribute_of_a_record_has_a_meaning() -> None:
    """From its docstring."""
    [generated] = re.findall(r"<!-- generated: record -->\n(.*?)<!-- end", drawn("ledger"), re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| (.*) \|$", generated, re.MULTILINE)
    assert len(fields(Record)) - 1 == len(rows)
    assert [] == [name for name, meaning in rows if not meaning.endswith(".")]


def test_every_metric_that_is_published_is_explained() -> None:
    """And no other."""
    published = {name for each in (ROOT / "lambdas").rglob("*.py") for name in PUBLISHED.findall(each.read_text())}
    assert "Verdicts" in published
    assert published == table((REFERENCE / "metrics.md").read_text(), "| metric | dimension | meaning |").keys()


def test_every_alarm_is_there_and_in_the_runbook() -> None:
    """By the same name."""
    names = table(drawn("metrics"), "| alarm | is raised when | without a value it | says |").keys()
    runbook = (DOCS / "operations.md").read_text()
    assert sum(each["Type"] == "AWS::CloudWatch::Alarm" for each in SERVICE.values()) == len(names)
    assert [] == [name for name in names if f'<a id="{name}"></a>`{name}`' not in runbook]


def test_every_role_of_an_account_is_there() -> None:
    """With all its statements."""
    text = drawn("permissions")
    members = text.split("<!-- generated: members -->")[1].split("<!-- end of generated -->")[0]
    statements = sum(
        len(each["Properties"]["PolicyDocument"]["Statement"])
        for each in MEMBER.values()
        if each["Type"] == "AWS::IAM::Policy"
    )
    assert statements == sum(members.count(f"\n| {effect} |") for effect in ("allow", "deny"))


def test_every_kind_of_item_is_listed() -> None:
    """Each key that the kept items have fits a row of the table."""
    rows = re.findall(
        r"^\| (.*?) \| (.*?) \| ", (REFERENCE / "ledger.md").read_text().split("## Indexes")[0], re.MULTILINE
    )
    begins = {re.split(r"[#/<]", name.strip("`"))[0] for name, _ in rows if name.startswith("`")}
    keys = {each["pk"]["S"] for each in KEPT}
    assert [] == [
        key for key in sorted(keys) if not key.startswith(("arn:", "<")) and key.partition("#")[0] not in begins
    ]
