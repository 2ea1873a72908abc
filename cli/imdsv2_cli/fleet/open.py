"""What is open now: what persons, AWS or the next run still have to do. From rows of the fleet, and items of accounts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imdsv2_cli.fleet.joined import NOT_JUDGED, allows_imdsv1, arn_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from imdsv2_cli.fleet.file import Row

COLUMNS = frozenset(
    {
        *("account", "region", "instance_id", "name", "owner", "cohort", "http_tokens", "http_endpoint"),
        *("status", "reason", "since", "watch", "enforced_at", "broken_at", "left_because"),
        *("notice_ends_at", "hold_until", "hold_owner", "ends_on"),
    }
)
"""What is read of a row."""

ENDS_WITHIN = timedelta(days=30)
_EXAMPLES = 20
_SETTLED_BY_PERSONS = frozenset({"broke_before", "undone_by_person", "changed_back"})
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
    """What is open in a fleet; `note` every row, then read the fields. Memory does not grow with the fleet."""

    at: datetime
    instances: int = 0
    allow_imdsv1: int = 0
    required: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    enforced: int = 0
    verified: int = 0
    rolled_back: int = 0
    approvals: Some = field(default_factory=Some)
    notices: Some = field(default_factory=Some)
    holds: Some = field(default_factory=Some)
    exemptions: Some = field(default_factory=Some)
    watched: Some = field(default_factory=Some)
    left_broken: Some = field(default_factory=Some)
    put_back: Some = field(default_factory=Some)

    def note(self, row: Row) -> None:
        """Take an instance into account."""
        self.instances += 1
        status, reason = row["status"], row["reason"]
        self.enforced += status == "enforced"
        self.verified += status == "verified"
        self.rolled_back += status == "rolled_back"
        if allows_imdsv1(row):
            self.allow_imdsv1 += 1
            self.by_reason[reason or NOT_JUDGED] += 1
        elif row["http_tokens"] == "required":
            self.required += 1
        if reason == "approval_required":
            self.approvals.note(row["since"], row, "cohort", "since")
        elif reason == "notice_given":
            self.notices.note(row["notice_ends_at"] or "~", row, "notice_ends_at")
        if reason in _SETTLED_BY_PERSONS:
            self.put_back.note(row["since"], row, "reason", "since")
        if row["hold_until"] and row["hold_until"] >= self._day(timedelta()):
            self.holds.note(row["hold_until"], row, "hold_owner", "hold_until")
        if reason == "exempt" and row["ends_on"] and row["ends_on"] <= self._day(ENDS_WITHIN):
            self.exemptions.note(row["ends_on"], row, "ends_on")
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
