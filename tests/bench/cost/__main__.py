"""`python -m tests.bench.cost`: meters the service on the local AWS and writes docs/cost.md.

What was metered is kept in tests/bench/data/metered.json, so that a test can check that the page follows from it. With `--keep-seconds`,
for a computer that is busy with other things, everything is counted anew, and function times stay as they were metered before.
"""

from __future__ import annotations

import json
import sys

from tests.bench.cost.metering import measure
from tests.bench.cost.page import METERED, PAGE, render


def main() -> None:
    """Meter, and write what was metered and the page."""
    metered = measure()
    if "--keep-seconds" in sys.argv[1:]:
        kept = json.loads(METERED.read_text())["work"]
        for name, work in metered["work"].items():
            work["seconds"] = kept.get(name, work)["seconds"]
    METERED.write_text(json.dumps(metered, indent=2) + "\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(metered))
    sys.stderr.write(f"written to {PAGE}\n")


if __name__ == "__main__":
    main()
