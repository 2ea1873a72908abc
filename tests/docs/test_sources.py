"""docs/sources.md names everything that an answer can hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imdsv2.domain.verdict import Reason
from imdsv2.people.sources.answer import source_document
from imdsv2.source.origin import Kind
from imdsv2.source.verdict import USED, SourceVerdict, judge
from tests.unit.source_builders import with_template

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text()


@pytest.mark.parametrize("name", [*Kind, *SourceVerdict, *sorted(USED & set(Reason))])
def test_every_kind_verdict_and_reason_is_named(name: str) -> None:
    """In the words of the answer."""
    assert f"`{name}`" in PAGE


def test_every_field_of_a_source_is_explained() -> None:
    """In the table; account, Region and group explain themselves."""
    document = source_document(with_template(), judge(with_template(), {}), {})
    named = set(re.findall(r"`([a-z_0-9]+)`", PAGE))
    assert document.keys() - {"account", "region", "group"} <= named
    (remedy, *_) = document["remedies"]
    assert {"language", "text", "replaces_running_instances"} <= named & remedy.keys()
