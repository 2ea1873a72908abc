"""docs/safety.md matches the simulation's results."""

from __future__ import annotations

import json

from tests.bench import safety

SIMULATED = json.loads(safety.SIMULATED.read_text())


def test_the_page_is_what_the_script_writes() -> None:
    """Any edit of the page, the fleet or a seed requires the page to be generated again."""
    assert safety.page(SIMULATED) == safety.PAGE.read_text()


def test_every_variant_was_simulated() -> None:
    """A variant must have results, not only a definition."""
    assert {each.name: len(safety.VARIANT_SEEDS) for each in safety.VARIANTS} == {
        name: len(runs) for name, runs in SIMULATED["variants"].items()
    }


def test_what_broke_has_a_reason_and_a_time() -> None:
    """The tables of who was broken and why count the same instances."""
    for run in SIMULATED["runs"]:
        service = run[safety.SERVICE]
        broke = safety.hidden(service, "broke")
        assert broke == sum(count for kind in service["why"].values() for count in kind.values())
        assert broke == sum(service["first_failed"].values())
