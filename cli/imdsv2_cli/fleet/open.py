"""What is open now: what persons, AWS or the next run still have to do. From rows of the fleet, and items of accounts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imdsv2_cli.fleet.joined import JOINED_BY, NOT_JUDGED, arn_of, is_open

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imdsv2_cli.fleet.file import Row, Values

COLUMNS = (
    *("status", "reason", "http_tokens", "http_endpoint"),
    *("hold_until", "broken_at", "watch"),
    *JOINED_BY,
    *("name", "owner", "cohort", "since", "enforced_at", "left_because", "notice_ends_at", "hold_owner", "ends_on"),
)
"""What is read of an instance. First what it is counted by, then what says, beside the reason, whether it may have to be named."""
_KIND, _SAYS = slice(4), slice(4, 7)

ENDS_WITHIN = timedelta(days=30)
_EXAMPLES = 20
_SETTLED_BY_PERSONS = frozenset({"broke_before", "undone_by_person", "changed_back"})
_TOLD = _SETTLED_BY_PERSONS | {"approval_required", "notice_given", "exempt"}
"""Reasons for which an instance may be named."""
_STANDS = frozenset({"enforced", "verified"})


@dataclass(slots=True)
class Some:
    """How many there are of something, and the first of them by a time."""

    count: int = 0
    first: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    def note(self, at: str, row: Row, *columns: str) -> None:
        """Count one; keep it if its time is among the first."""
        self.count += 1
        target = arn_of(row)
        kept = {each: row[each] for each in ("account", "region", "instance_id", "name", "owner", *columns)}
        self.first.append((at, target, {**kept, "target": target}))
        if len(self.first) > 2 * _EXAMPLES:
            self._cut()

    def document(self) -> dict[str, Any]:
        """As JSON: the count, and the first of them."""
        self._cut()
        return {"count": self.count, "first": [each for *_, each in self.first]}

    def _cut(self) -> None:
        self.first = sorted(self.first, key=lambda each: each[:2])[:_EXAMPLES]


@dataclass(slots=True)
class Open:
    """What is open in a fleet; `note` every instance, then read the fields. Memory does not grow with the fleet."""

    at: datetime
    kinds: Counter[Values] = field(default_factory=Counter)
    """By status, reason, HttpTokens and HttpEndpoint."""
    approvals: Some = field(default_factory=Some)
    notices: Some = field(default_factory=Some)
    holds: Some = field(default_factory=Some)
    exemptions: Some = field(default_factory=Some)
    watched: Some = field(default_factory=Some)
    left_broken: Some = field(default_factory=Some)
    put_back: Some = field(default_factory=Some)

    @property
    def instances(self) -> int:
        """All that were noted."""
        return self.kinds.total()

    @property
    def required(self) -> int:
        """Those that require tokens."""
        return sum(count for (*_, tokens, _), count in self.kinds.items() if tokens == "required")

    @property
    def by_reason(self) -> Counter[str]:
        """Those that anybody can call by IMDSv1."""
        reasons: Counter[str] = Counter()
        for (_, reason, tokens, endpoint), count in self.kinds.items():
            if is_open(tokens, endpoint):
                reasons[reason or NOT_JUDGED] += count
        return reasons

    def are(self, status: str) -> int:
        """Those that have a status."""
        return sum(count for (each, *_), count in self.kinds.items() if each == status)

    def note(self, values: Values) -> None:
        """Take an instance into account, by its values of COLUMNS. Most are only counted."""
        kind = status, reason, _, _ = values[_KIND]
        self.kinds[kind] += 1
        hold_until, broken_at, watch = values[_SAYS]
        if reason in _TOLD or hold_until or (status in _STANDS and (broken_at or watch == "open")):
            self._tell(dict(zip(COLUMNS, values, strict=True)))

    def _tell(self, row: Row) -> None:
        status, reason = row["status"], row["reason"]
        if reason == "approval_required":
            self.approvals.note(row["since"], row, "cohort", "since")
        elif reason == "notice_given":
            self.notices.note(row["notice_ends_at"] or "~", row, "notice_ends_at")
        elif reason in _SETTLED_BY_PERSONS:
            self.put_back.note(row["since"], row, "reason", "since")
        elif reason == "exempt" and row["ends_on"] and row["ends_on"] <= self._day(ENDS_WITHIN):
            self.exemptions.note(row["ends_on"], row, "ends_on")
        if row["hold_until"] and row["hold_until"] >= self._day(timedelta()):
            self.holds.note(row["hold_until"], row, "hold_owner", "hold_until")
        if status in _STANDS and row["watch"] == "open":
            self.watched.note(row["enforced_at"], row, "enforced_at")
        if status in _STANDS and row["broken_at"]:
            self.left_broken.note(row["broken_at"], row, "broken_at", "left_because")

    def _day(self, ahead: timedelta) -> str:
        return (self.at + ahead).date().isoformat()


def breakers(accounts: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The accounts whose circuit breaker is open, from the items of accounts as DynamoDB returns them."""
    return [
        {"account": each["sk"]["S"].partition("/")[2], "since": each["breaker_opened_at"]["S"]}
        for each in accounts
        if "breaker_opened_at" in each
    ]
