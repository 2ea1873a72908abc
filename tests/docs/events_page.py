"""Writes the tables and the schema of docs/events.md from the code.

`KEEP=1 pytest tests/docs/test_events.py` (or `make kept`) writes them into the page.
"""

from __future__ import annotations

import json
import re

from imdsv2.ledger.detail import ALWAYS, MEANINGS, SOMETIMES, schema
from imdsv2.ledger.trail import Kind
from tests.docs.architecture import ROOT

PAGE = ROOT / "docs" / "events.md"
BLOCK = re.compile(r"(<!-- generated: events -->\n).*?(<!-- end of generated -->)", re.DOTALL)


def drawn(text: str) -> str:
    """The page with its generated part as it is now."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{_generated()}\n\n{block[2]}", text)


def _generated() -> str:
    kinds = ["## Kinds", "", "| detail type | what happened |", "| --- | --- |"]
    kinds += [f"| `{kind}` | {MEANINGS[kind]} |" for kind in Kind]
    rows = ["", "## The detail", "", "| attribute | in | meaning |", "| --- | --- | --- |"]
    for described, where in ((ALWAYS, "every event"), (SOMETIMES, "some")):
        rows += [f"| `{name}` | {where} | {meaning} |" for name, (_, meaning) in described.items()]
    return "\n".join([*kinds, *rows, "", "## JSON Schema", "", "```json", json.dumps(schema(), indent=2), "```"])
