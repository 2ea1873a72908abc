"""The second step of a sweep: one account and Region, its instances first, then what launches them."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.domain.policy import SourceMode
from imdsv2.sweep.run import go_through
from imdsv2.sweep.sources import LEFT
from imdsv2.sweep.suppressed import from_document

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from imdsv2.aws.s3 import SweepFiles
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Place
    from imdsv2.line.run import Line
    from imdsv2.sweep.fleet import FleetWriter
    from imdsv2.sweep.sources import SourceSweep
    from imdsv2.sweep.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionStep:
    """Goes through a place. ``fleet_writer``: makes what writes the rows of a place, named by a prefix. ``fix_sources``: changes
    what may be changed there, and counts how many sources ended how."""

    line: Line
    clients: MemberClients
    files: SweepFiles
    sources: SourceSweep
    fleet_writer: Callable[[Place, str], FleetWriter]
    fix_sources: Callable[[Place, str], Counter[str]]

    def run(self, tally: Tally, request_id: str, *, dry_run: bool, has_time: Callable[[], bool]) -> Tally:
        """Go on with a place until it is complete or time runs out. Raises as `go_through`."""
        if tally.after != LEFT:
            tally = self._go_through(tally, request_id, dry_run=dry_run, has_time=has_time)
        if tally.error is not None or tally.after not in {None, LEFT}:
            return tally
        if not has_time():
            tally.after = LEFT
            return tally
        tally.after = None
        self._judge_sources(tally, dry_run=dry_run)
        if not dry_run and self._is_to_change_sources():
            tally.source_changes.update(self.fix_sources(tally.place, request_id))
        return tally

    def _go_through(self, tally: Tally, request_id: str, *, dry_run: bool, has_time: Callable[[], bool]) -> Tally:
        known = self.files.read(tally.known) if tally.known else ()
        suppressed = from_document(self.files.read(tally.suppressed)) if tally.suppressed else {}
        with self._fleet(tally) as fleet:
            return go_through(
                self.line,
                self.clients,
                tally,
                request_id,
                dry_run=dry_run,
                has_time=has_time,
                known=known,
                suppressed=suppressed,
                fleet=fleet,
            )

    def _fleet(self, tally: Tally) -> AbstractContextManager[FleetWriter | None]:
        """What writes the rows of a place; nothing where the sweep was planned by an earlier version, which names no files."""
        return closing(self.fleet_writer(tally.place, tally.fleet)) if tally.fleet is not None else nullcontext()

    def _judge_sources(self, tally: Tally, *, dry_run: bool) -> None:
        """Judge what launches the instances of a place, after these; its file has them all."""
        sources = self.sources.go_through(tally.place, dry_run=dry_run)
        tally.sources = sources.counts
        if tally.found and sources.documents:
            self.files.write(tally.found, sources.documents)

    def _is_to_change_sources(self) -> bool:
        return self.line.policies.current(self.line.now()).policy.source is SourceMode.FIX
