"""Counts of the long forms: noted by the tests, summed by `python -m tests.proof.tally` into build/proof/results.json.

Tests run in several processes, so each note is a line of a file, whose name is in PROOF_TALLY.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "build" / "proof" / "results.json"
UNITS = {
    "proof.faults": "rows",
    "proof.faults.pairs": "rows",
    "proof.crashes": "points",
    "proof.pairs": "orders",
    "proof.kills": "kills",
    "proof.wire": "rows",
    "proof.judges": "statuses",
}


def note(name: str, *, run: int, exist: int, violations: int) -> None:
    """Note what a test has run, of how many that exist, and how many of them were violated."""
    if "PROOF_TALLY" in os.environ:
        with Path(os.environ["PROOF_TALLY"]).open("a") as file:
            file.write(json.dumps([name, run, exist, violations]) + "\n")


def main() -> None:
    """Sum what was noted, print it and write it in the shape of the benchmarks' results."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for line in Path(os.environ["PROOF_TALLY"]).read_text().splitlines():
        name, *counts = json.loads(line)
        sums[name] = [before + more for before, more in zip(sums[name], counts, strict=True)]
    rows = []
    for name, (run, exist, violations) in sorted(sums.items()):
        unit = UNITS[name]
        rows.append(
            {"name": name, "value": run, "unit": unit, "baseline": exist, "baseline_name": f"{unit} that exist"}
        )
        rows[-1] |= {"ratio": run / exist, "violations": violations}
        sys.stdout.write(f"{name}: {run:,} of {exist:,} {unit}, {violations} violations\n")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
