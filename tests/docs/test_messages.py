"""docs/messages.md is about the messages that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imdsv2.line.messages import KINDS
from imdsv2.sweep.digest_rows import AGAIN_AFTER, ENTRIES, NO_OWNER, SOON

PAGE = (Path(__file__).parents[2] / "docs" / "messages.md").read_text()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_named(kind: str) -> None:
    """Subscribers filter by it."""
    (row,) = re.findall(r"^\| `kind` \| (.*) \|$", PAGE, re.MULTILINE)
    assert f"`{kind}`" in row


def test_the_numbers_of_the_digest_are_those_of_the_code() -> None:
    """In words."""
    words = {3: "three", 7: "seven", 10: "ten"}
    assert f"end within {words[SOON.days]} days" in PAGE
    assert f"told again after {words[AGAIN_AFTER.days]} days" in PAGE
    assert f"A section names {words[ENTRIES]} instances" in PAGE
    assert f"whose owner is `{NO_OWNER}`" in PAGE
