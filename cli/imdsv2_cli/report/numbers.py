"""What the report counts, from the rows of the fleet. Texts of other people are made harmless here."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from imdsv2_cli.clean import for_terminal
from imdsv2_cli.fleet.joined import NOT_JUDGED, allows_imdsv1
from imdsv2_cli.fleet.open import ENDS_WITHIN
from imdsv2_cli.fleet.story import week_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imdsv2_cli.fleet.file import Row

OPEN = ("would_enforce", "held", "left_out")
STATES = ("required", "verified", "enforced", *OPEN, "disabled")
"""How every instance counts: tokens required by others, by the service and proved healthy, by the service and under watch; open and
ready, held, or left out (exempt, out of scope, not judged); without an endpoint that could be called."""
BY = ("account", "region", "owner")
RECENT = timedelta(days=30)
MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Source:
    """``brings``: how many of its instances were launched so that IMDSv1 could be called: as many as it would bring back."""

    name: str
    instances: int
    open: int
    brings: int


@dataclass(slots=True)
class Numbers:
    """All that the report shows of the fleet."""

    at: datetime
    states: Counter[str] = field(default_factory=Counter)
    by: dict[str, dict[str, Counter[str]]] = field(default_factory=lambda: {each: defaultdict(Counter) for each in BY})
    reasons: Counter[str] = field(default_factory=Counter)
    week: list[int] = field(default_factory=lambda: [0] * 168)
    callers: list[Row] = field(default_factory=list)
    open: list[Row] = field(default_factory=list)
    left_broken: list[Row] = field(default_factory=list)
    exemptions: list[Row] = field(default_factory=list)
    recent: Counter[str] = field(default_factory=Counter)
    _sources: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def instances(self) -> int:
        return self.states.total()

    @property
    def allowed(self) -> int:
        return len(self.open)

    def sources(self) -> list[Source]:
        """What launches instances, those first that would bring back most."""
        found = [
            Source(name or "unknown", counts["all"], counts["open"], counts["brings"])
            for name, counts in self._sources.items()
        ]
        return sorted((each for each in found if each.brings), key=lambda each: (-each.brings, each.name))

    def note(self, row: Row) -> None:
        """Take an instance into account."""
        is_open = allows_imdsv1(row)
        state = _state_of(row, is_open=is_open)
        self.states[state] += 1
        for column in BY:
            self.by[column][_clean(row[column] or row["account"])][state] += 1
        source = self._sources[_clean(f"{row['account']} {row['region']} {row['source']}")]
        source["all"] += 1
        source["open"] += is_open
        source["brings"] += is_open or bool(row["enforced_at"])
        is_broken = row["status"] in {"enforced", "verified"} and bool(row["broken_at"])
        if is_open or is_broken or row["reason"] == "exempt":
            self._note_shown(_shown(row), is_open=is_open, is_broken=is_broken)
        if is_open and row["calls_by_hour"]:
            for hour, calls in enumerate(week_of(row["calls_by_hour"])):
                self.week[hour] += calls
        since = (self.at - RECENT).isoformat()
        for name in ("enforced_at", "verified_at", "rolled_back_at"):
            self.recent[name] += row[name] >= since

    def _note_shown(self, row: Row, *, is_open: bool, is_broken: bool) -> None:
        """Keep what is shown of single instances."""
        if is_open:
            self.open.append(row)
            self.reasons[row["reason"] or NOT_JUDGED] += 1
        if is_open and int(row["calls"] or 0):
            self.callers.append(row)
        if is_broken:
            self.left_broken.append(row)
        if (
            row["reason"] == "exempt"
            and row["ends_on"]
            and row["ends_on"] <= (self.at + ENDS_WITHIN).date().isoformat()
        ):
            self.exemptions.append(row)

    def settled(self) -> Numbers:
        """The same, everything in the order in which it is shown."""
        self.open.sort(key=lambda row: (row["account"], row["region"], row["reason"], row["instance_id"]))
        self.callers.sort(key=lambda row: (-int(row["calls"] or 0), row["instance_id"]))
        self.exemptions.sort(key=lambda row: (row["ends_on"], row["instance_id"]))
        self.left_broken.sort(key=lambda row: (row["broken_at"], row["instance_id"]))
        return self


def count(rows: Iterable[Row], at: datetime) -> Numbers:
    """The numbers of a fleet."""
    numbers = Numbers(at=at)
    for row in rows:
        numbers.note(row)
    return numbers.settled()


_TEXTS = ("account", "region", "instance_id", "name", "owner", "cohort", "source", "reason", "pattern", "left_because")
_LONG = frozenset({"explanation", "calls_by_hour"})


def _shown(row: Row) -> Row:
    """A row without what would take much memory; texts that others wrote are harmless."""
    kept = {name: value for name, value in row.items() if name not in _LONG}
    return {**kept, **{name: _clean(row[name]) for name in _TEXTS}}


_clean = lru_cache(maxsize=10_000)(for_terminal)
"""Owners, cohorts and sources repeat."""


def _state_of(row: Row, *, is_open: bool) -> str:
    if row["status"] in {"verified", "enforced"} and not is_open:
        return row["status"]
    if not is_open:
        return "required" if row["http_tokens"] == "required" else "disabled"
    if row["decision"] == "enforce":
        return "would_enforce"
    return "held" if row["decision"] == "hold" else "left_out"
