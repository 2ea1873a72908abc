"""Writes docs/cost.md: every figure and table of the page follows from what was metered, the prices and the assumptions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Policy
from tests.bench.cost.assumptions import (
    BATCH,
    FINDINGS_A_MONTH,
    HELD_SHARE,
    LATENCY_MS,
    ORGANISATIONS,
)
from tests.bench.cost.prices import PRICED_ON, PRICES, PUBLISHED, PUBLISHED_AT, QUOTED_AT, Price, usd
from tests.bench.cost.text import TEXT
from tests.bench.cost.usage import (
    by_queue,
    enforcing,
    first_answers,
    month,
    observing,
    recalling,
    standing,
    starting,
    together,
    waiting,
    watching,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.cost.prices import Usage

LARGEST = max(ORGANISATIONS)
ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "cost.md"
METERED = Path(__file__).parents[1] / "data" / "metered.json"


def render(metered: Mapping[str, Any]) -> str:
    """docs/cost.md."""
    watched = usd(watching(metered, 1000))
    accounts, regions = ORGANISATIONS[LARGEST]
    both = usd(enforcing(metered, 1000, batch=BATCH)) + watched
    return TEXT.format(
        watched=_money(watched),
        share=f"{watched / both:.0%}",
        hours=Policy().watch_hours,
        passes=f"{metered['counted']['watch']['place']['passes']:,.0f}",
        read=f"{metered['counted']['watch']['instance']['metrics']:,.0f}",
        of_metrics=_money(watching(metered, 1000)["metrics"] * PRICES["metrics"].each),
        recall=_money(usd(recalling(1))),
        watched_parts=_parts("for 1,000 watched", {"units": watching(metered, 1000)}),
        latency=LATENCY_MS,
        answers=_answers(metered),
        parts=_parts(
            "for 1,000 enforced",
            {"in batches": enforcing(metered, 1000, batch=BATCH), "one by one": enforcing(metered, 1000, batch=1)},
        ),
        months=_months(metered),
        observed=_money(usd(observing(metered, LARGEST))),
        observed_parts=_parts(f"for {LARGEST:,} observed, a month", {"units": observing(metered, LARGEST)}),
        largest=f"{LARGEST:,}",
        places=f"{accounts:,} accounts with {regions} Regions each",
        again=_money(usd(by_queue(metered, "again", 1000, batch=1))),
        repeated=_money(usd(by_queue(metered, "again", LARGEST * FINDINGS_A_MONTH, batch=1))),
        held=f"{HELD_SHARE:.0%}",
        started=_money(usd(starting(metered, 1000))),
        forwarded=f"{PRICES['bus_events'].each * 1e6:g}",
        events_an_enforcement=f"{_events(metered):g}",
        findings=FINDINGS_A_MONTH,
        published=_published(metered),
        published_at=PUBLISHED_AT,
        quoted_at=QUOTED_AT,
        prices=_table(
            ("USD", "for", "list price at"),
            [
                (f"{price.usd:g}", f"{price.per:,.0f} {price.unit}", f"https://aws.amazon.com/{price.source}/pricing/")
                for price in PRICES.values()
            ],
        ),
        priced_on=PRICED_ON,
    )


def _events(metered: Mapping[str, Any]) -> float:
    """How many events the ledger keeps of an instance from its finding to the proof."""
    enforced: float = metered["work"]["enforced"]["ledger_events"] / metered["work"]["enforced"]["instances"]
    watched: float = metered["counted"]["watch"]["instance"].get("ledger_events", 0)
    return round(enforced + watched, 1)


def _answers(metered: Mapping[str, Any]) -> str:
    """What a thousand findings cost, by what comes of them."""
    watched = _money(usd(watching(metered, 1000)))
    return _table(
        ("1,000 findings that are", "in batches of 500", "one by one"),
        [
            ("enforced", *(_money(usd(enforcing(metered, 1000, batch=batch))) for batch in (BATCH, 1))),
            ("watched after enforcement, until verified twice", *[watched] * 2),
            ("held, the first time", _money(usd(by_queue(metered, "held", 1000, batch=BATCH))), ""),
            ("held, again", "", _money(usd(by_queue(metered, "again", 1000, batch=1)))),
            ("starts of new instances, forwarded", "", _money(usd(starting(metered, 1000)))),
            ("echo of the service's own note", _money(usd(by_queue(metered, "echo", 1000, batch=BATCH))), ""),
        ],
    )


def _months(metered: Mapping[str, Any]) -> str:
    """What organisations pay, once and every month."""
    return _table(
        (
            "instances",
            "accounts x Regions",
            "one-time: first answers and watch",
            "every following month",
            "of which: waiting for the next start",
            "of which: standing cost",
        ),
        [
            (
                f"{instances:,}",
                f"{accounts} x {regions}",
                _money(usd(first_answers(metered, instances))),
                _money(usd(month(metered, instances))),
                _money(usd(waiting(metered, instances * (1 - HELD_SHARE), accounts=accounts, regions=regions))),
                _money(usd(standing(metered, instances))),
            )
            for instances, (accounts, regions) in ORGANISATIONS.items()
        ],
    )


def _published(metered: Mapping[str, Any]) -> str:
    """What AWS publishes for its own solution, beside ours."""
    return _table(
        (
            "remediations a month",
            "AWS's figure, USD",
            "per 1,000",
            "this service: one by one, watched, including the standing cost",
        ),
        [
            (
                f"{number:,}",
                _money(figure),
                _money(figure / number * 1000),
                _money(
                    usd(
                        together(
                            enforcing(metered, number, batch=1),
                            watching(metered, number),
                            waiting(metered, number),
                            standing(metered, number),
                        )
                    )
                ),
            )
            for number, figure in PUBLISHED.items()
        ],
    )


def _parts(what: str, ways: Mapping[str, Usage]) -> str:
    head = [column for way in ways for column in (way, "USD")]
    rows = [
        (price.unit, *(cell for used in ways.values() for cell in _amount(used.get(unit, 0), price)))
        for unit, price in PRICES.items()
        if any(unit in used for used in ways.values())
    ]
    return _table((what, *head), rows)


def _amount(number: float, price: Price) -> tuple[str, str]:
    return f"{number:,.0f}", _money(number * price.each)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"
