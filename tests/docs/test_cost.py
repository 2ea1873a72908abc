"""docs/cost.md matches the metered figures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bench.cost import page, usage
from tests.bench.cost.counted import observe, per, watch
from tests.bench.cost.item_size import item_bytes
from tests.bench.cost.prices import PRICES, usd

METERED = json.loads(page.METERED.read_text())


def test_the_page_is_what_the_script_writes() -> None:
    """Any edit of the page, a price or an assumption requires the page to be generated again."""
    assert page.render(METERED) == page.PAGE.read_text()


def test_the_bars_hold() -> None:
    """A thousand enforced instances, watched to the end; a month of observing a hundred thousand."""
    assert usd(usage.watching(METERED, 1_000)) <= 0.90
    assert usd(usage.observing(METERED, 100_000)) <= 100


def test_a_watch_asks_for_what_was_counted() -> None:
    """The service's own code in a smaller place asks for the same of each instance, and makes as many passes."""
    again, kept = per(watch, (2, 4)), METERED["counted"]["watch"]
    assert kept["instance"]["metrics"] == again["instance"]["metrics"]
    assert kept["instance"]["items_updated"] == again["instance"]["items_updated"]
    assert [kept["place"][unit] for unit in ("passes", "listings")] == [
        again["place"][unit] for unit in ("passes", "listings")
    ]


def test_slow_watches_cost_less() -> None:
    """Only the ends of the watches are read, and what may have come late after the first."""
    slow = per(lambda instances: watch(instances, watch="slow"), (2, 4))
    assert slow["instance"]["metrics"] <= 20


def test_a_day_of_observing_asks_for_little_more_than_one_metric_of_each() -> None:
    """A small place, whose days are a matter of chance, is judged a little more often."""
    assert per(observe, (10, 20))["instance"]["metrics"] <= 1.2
    assert 1 <= METERED["counted"]["observe"]["instance"]["metrics"] <= 1.15


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"pk": {"S": "a"}}, 3),
        ({"é": {"S": "é"}}, 4),
        ({"n": {"N": "1"}}, 3),
        ({"n": {"N": "-120.5"}}, 5),
        ({"n": {"N": "1000000"}}, 3),
        ({"b": {"BOOL": True}, "c": {"NULL": True}}, 4),
        ({"l": {"L": [{"S": "ab"}, {"S": "c"}]}}, 9),
        ({"m": {"M": {"k": {"S": "v"}}}}, 7),
        ({"s": {"SS": ["ab", "c"]}}, 4),
    ],
)
def test_an_item_is_as_large_as_dynamodb_bills_it(item: dict[str, Any], size: int) -> None:
    """Names and values in UTF-8, two digits a byte, three bytes for a list or map and one for each element."""
    assert size == item_bytes(item)


@pytest.mark.parametrize("unit", list(PRICES))
def test_every_price_counts(unit: str) -> None:
    """A unit without use would be an unneeded price, or a part of the bill that was forgotten."""
    used = usage.enforcing(METERED, 1, batch=1) | usage.month(METERED, 100_000) | usage.recalling(1)
    assert unit in {name for name, number in used.items() if number}
