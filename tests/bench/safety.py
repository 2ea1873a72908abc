"""What enforcing breaks, and what it leaves undone: `python -m tests.bench.safety` simulates it and writes docs/safety.md.

The same fleets go through the service's own code and through two simpler ways of enforcing (`tests/bench/simulation`). What
came out is kept, so that a test can see that the page says what follows from it. `python -m tests.bench.safety zero` simulates only
how near zero it comes, and writes the page with what was kept of the rest; with `page` it simulates nothing; with `proof` it takes
other seeds and writes nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bench.simulation import zero
from tests.bench.simulation.page import page
from tests.bench.simulation.results import measure, results
from tests.bench.simulation.variants import FLEET, PROOF_SEEDS

__all__ = ["measure"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "safety.md"
SIMULATED = Path(__file__).parent / "simulation" / "kept" / "simulated.json"
ZERO = SIMULATED.with_name("zero.json")


def main() -> None:
    """Simulate, and write what came out and the page, which takes half an hour or more."""
    if sys.argv[1:] == ["proof"]:
        for each in measure(PROOF_SEEDS, FLEET):
            sys.stdout.write(
                f"{each.name}: {each.value:,.0f} of {each.baseline:,.0f}, ratio {each.ratio:.3f} {each.spread}\n"
            )
        return
    if not sys.argv[1:]:
        SIMULATED.write_text(json.dumps(results(), indent=1) + "\n")
    if sys.argv[1:] != ["page"]:
        ZERO.write_text(json.dumps(zero.runs(), indent=1) + "\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(json.loads(SIMULATED.read_text()), json.loads(ZERO.read_text())))
    sys.stderr.write(f"written to {PAGE}\n")


if __name__ == "__main__":
    main()
