"""The sweep of one account and Region, in a process that sees nothing but the deployed asset; started by `tests.bench.measurements.fleet`.

It is the function's own code, wired as the function wires it. A process of its own, because its memory and its processor time are then
its own. Writes a line of JSON for every page, `[[instance, reason, status], ...]`, and at the end one with its largest resident set.

    python -I -S sweeper.py <asset> '{"account": ..., "region": ..., "dry_run": ...}'
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, sys.argv[1])

from imdsv2.sweep.run import go_through
from imdsv2.sweep.tally import Tally
from imdsv2.wiring.function import wire
from imdsv2.wiring.sweep import build_fleet_writer
from invocation import logger

if TYPE_CHECKING:
    from imdsv2.line.judgement import Outcomes
    from imdsv2.line.run import Line


class Watched:
    """The line, its verdicts told as they come."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)

    def run(self, *args: Any, **kwargs: Any) -> Outcomes:
        outcomes = self._line.run(*args, **kwargs)
        judged = [(each.arn.instance_id, each.verdict.reason, each.status) for each in outcomes.judged.values()]
        sys.stdout.write(f"{json.dumps(judged)}\n")  # In one piece: two batches are under way.
        return outcomes


def main() -> None:
    """Do what the order says."""
    order = json.loads(sys.argv[2])
    service = wire(os.environ, logger, lambda: "fleet").service
    line: Any = Watched(service.line)
    tally = Tally.from_document(order)
    writer = build_fleet_writer(service, tally.place, "fleet", lambda *_: None)
    with closing(writer) as fleet:
        tally = go_through(
            line, service.clients, tally, "fleet", dry_run=order["dry_run"], has_time=lambda: True, fleet=fleet
        )
    if tally.error or tally.failed:
        raise RuntimeError(f"{tally.failed} failed: {tally.error}")
    print(json.dumps({"peak_kib": peak_kib()}))  # noqa: T201 - the answer to the parent


def peak_kib() -> int:
    """The largest resident set so far. getrusage would tell the parent's, where that is larger."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


main()
