"""A function may die at any call: the others finish what it began, and the end is the same as if it had not died.

`PROOF=long` tries every point of every path; without it, one of each kind.
"""

from __future__ import annotations

import os

import pytest

from tests.proof import tally
from tests.proof.crashes.matrix import try_path
from tests.proof.crashes.paths import PATHS

EVERY = os.environ.get("PROOF") == "long"


@pytest.mark.parametrize("name", PATHS)
def test_a_death_at_any_call_changes_nothing_in_the_end(name: str) -> None:
    """EC2, ledger, notes, messages and breakers end as they would have; a message may come once more."""
    result = try_path(PATHS[name], every=EVERY)
    tally.note("proof.crashes", run=result.points, exist=result.exist, violations=len(result.violations))
    assert {} == result.violations, f"{name}: {result}"
