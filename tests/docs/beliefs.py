"""Writes the table of docs/beliefs.md from the list of beliefs.

`KEEP=1 pytest tests/docs/test_beliefs.py` (or `make kept`) writes it into the page.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imdsv2.selftest.belief import Source
from imdsv2.selftest.beliefs import BELIEFS
from tests.docs.architecture import ROOT

if TYPE_CHECKING:
    from imdsv2.selftest.belief import Belief, Witness

PAGE = ROOT / "docs" / "beliefs.md"
BLOCK = re.compile(r"(<!-- generated: beliefs -->\n).*?(<!-- end of generated -->)", re.DOTALL)


def table() -> str:
    """A row for each belief."""
    head = ["| belief | witness | check | if it is wrong |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(_row(belief) for belief in BELIEFS)])


def _row(belief: Belief) -> str:
    check = f"`{belief.check.__module__.rpartition('.')[2]}.{belief.check.__name__}`"
    safety = "**Safety.** " if belief.for_safety else ""
    cells = (f"`{belief.id}`: {belief.statement}", _witness(belief.witness), check, safety + belief.if_wrong)
    return f"| {' | '.join(cells)} |"


def _witness(witness: Witness) -> str:
    if witness.source is Source.NONE:
        return "none"
    if witness.source is Source.DOCUMENTATION:
        return f"[documentation]({witness.where})"
    return f"{witness.source}: {witness.where}"


def drawn(text: str) -> str:
    """The page with its table as it is now."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{table()}\n\n{block[2]}", text)
