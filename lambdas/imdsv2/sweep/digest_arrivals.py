"""What reaches the ledger, or the index, later than its own time says: it belongs to the first digest that sees it.

A digest tells of what happened until shortly before. A function that DynamoDB throttles writes what happened minutes ago, when the digest of
that time has been sent. So each digest keeps which events of its last hour it has seen; what the next one finds there besides has come
since, and counts from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.ledger.items import to_text
from imdsv2.sweep.digest_rows import is_told_of

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from imdsv2.aws.s3 import SweepFiles
    from imdsv2.ledger.digests import TrailEvent

ARRIVES = timedelta(hours=1)
"""So late an event may be seen: a function may run for a quarter of an hour, and the index follows within minutes."""


@dataclass(slots=True, kw_only=True)
class Arrivals:
    """What a digest sees of a time that an earlier one has told of.

    ``since``: until when the one before has told; ``until``: the same of this one. ``seen``: ids of the events that the one before had seen
    in its last hour; None where that is not known, so that nothing counts as late. ``late``: since when events count that came late, by
    their ids. ``found``: the ids of those that are seen now, of the last hour.
    """

    since: datetime
    until: datetime
    seen: AbstractSet[str] | None = None
    late: dict[str, str] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)

    @classmethod
    def between(cls, files: SweepFiles, since: datetime, until: datetime) -> Arrivals:
        """With what the digest before has kept. Raises ClientError."""
        known = files.read_if_there(_key(since))
        if known is None:
            return cls(since=since, until=until)
        return cls(since=since, until=until, seen=frozenset(known["seen"]), late=dict(known["late"]))

    def placed(self, event: TrailEvent) -> TrailEvent:
        """An event, in the order of their arrival as far as it is known."""
        if not is_told_of(event):
            return event
        if event.at >= to_text(self.until - ARRIVES):
            self.found.add(event.id)
        first, begin = (to_text(each) for each in (self.since - ARRIVES, self.since))
        if self.seen is not None and first <= event.at < begin and event.id not in self.seen:
            self.late.setdefault(event.id, begin)
        return replace(event, counts_from=self.late.get(event.id))

    def keep(self, files: SweepFiles, earliest: datetime) -> None:
        """Keep what the next digest has to know. ``earliest``: since when somebody is owed something. Raises ClientError."""
        owed = to_text(earliest)
        late = {each: begin for each, begin in self.late.items() if begin >= owed}
        files.write(_key(self.until), {"seen": sorted(self.found), "late": late})


def _key(until: datetime) -> str:
    """The object that a digest keeps, by the time until which it has told."""
    return f"digests/{to_text(until)}.json"
