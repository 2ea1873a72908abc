"""docs/cost.md matches the metered figures."""

from __future__ import annotations

import json

import pytest

from tests.bench.cost import page, usage
from tests.bench.cost.prices import PRICES

METERED = json.loads(page.METERED.read_text())


def test_the_page_is_what_the_script_writes() -> None:
    """Any edit of the page, a price or an assumption requires the page to be generated again."""
    assert page.render(METERED) == page.PAGE.read_text()


@pytest.mark.parametrize("unit", list(PRICES))
def test_every_price_counts(unit: str) -> None:
    """A unit without use would be an unneeded price, or a part of the bill that was forgotten."""
    used = usage.enforcing(METERED, 1, batch=1) | usage.month(METERED, 100_000) | usage.recalling(1)
    assert unit in {name for name, number in used.items() if number}
