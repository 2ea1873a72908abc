"""docs/safety.md matches the simulation's results."""

from __future__ import annotations

import json

from tests.bench.safety import PAGE, SIMULATED, ZERO
from tests.bench.simulation.fates import SERVICE
from tests.bench.simulation.page import page
from tests.bench.simulation.results import hidden
from tests.bench.simulation.variants import VARIANT_SEEDS, VARIANTS

RESULTS = json.loads(SIMULATED.read_text())


def test_the_page_is_what_the_script_writes() -> None:
    """Any edit of the page, the fleet or a seed requires the page to be generated again."""
    assert page(RESULTS, json.loads(ZERO.read_text())) == PAGE.read_text()


def test_every_variant_was_simulated() -> None:
    """A variant must have results, not only a definition."""
    assert {each.name: len(VARIANT_SEEDS) for each in VARIANTS} == {
        name: len(runs) for name, runs in RESULTS["variants"].items()
    }


def test_what_broke_has_a_reason_and_a_time() -> None:
    """The tables of who was broken and why count the same instances."""
    for run in RESULTS["runs"]:
        service = run[SERVICE]
        broke = hidden(service, "broke")
        assert broke == sum(count for kind in service["why"].values() for count in kind.values())
        assert broke == sum(service["first_failed"].values())
