"""What a digest says to each owner: gathered from the rows of the fleet and from what happened to their instances. Pure.

Only the first entries of each section are kept, as text: memory grows with owners, not with the fleet.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.verdict import NOTHING_TO_DO, Reason
from imdsv2.ledger.items import to_text
from imdsv2.ledger.trail import Kind
from imdsv2.sweep.digest_entries import broken_entry, changed_entry, ending, happening, waiting_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsv2.ledger.digests import TrailEvent
    from imdsv2.sweep.rows import Row

NO_OWNER = "no owner"
"""To whom instances without the tag are told: one digest for all of them."""
ENTRIES = 10
"""Instances named in a section; of the others the number is told, and how to list them."""
SOON = timedelta(days=3)
"""How long before its end an exemption, a hold or a notice is told of."""
AGAIN_AFTER = timedelta(days=7)
"""How long an owner to whom nothing new happened hears nothing of what still needs a person."""

BROKE, NEEDS, CHANGED, ENDS = "broke", "needs", "changed", "ends"

_PASSES = NOTHING_TO_DO | {Reason.NOTICE_GIVEN, Reason.TOO_YOUNG, Reason.SWITCHED_OFF}
"""Reasons to hold of which no person has to do anything with the instance."""
_UNTOLD = NOTHING_TO_DO | {Reason.NOTICE_GIVEN}
"""Reasons to hold that are no news: they pass, or were told at once."""
_OF_STATUS = frozenset(
    {Status.ENFORCED, Status.VERIFIED, Status.ROLLED_BACK, Status.FAILED, Status.WOULD_ENFORCE, Status.HELD}
)
_OF_KIND = frozenset({Kind.BROKE, Kind.LEFT, Kind.EXEMPTION_SEEN, Kind.EXEMPTION_ENDED, Kind.HOLD_ENDED})
_BREAKAGE = frozenset({str(Kind.BROKE), str(Kind.LEFT), str(Status.ROLLED_BACK)})
_WAITS = frozenset({str(Status.HELD), str(Status.FAILED)})

Happened = dict[str, dict[str, tuple[str, str]]]
"""By the ARN of an instance, what happened to it: each with the time from which it counts, and the time when it was."""


def happened(events: Mapping[str, tuple[str, str]] | None, since: datetime) -> dict[str, str]:
    """Of what happened to an instance, that which its owner has not been told."""
    first = to_text(since)
    return {what: at for what, (counts_from, at) in (events or {}).items() if counts_from >= first}


def is_told_of(event: TrailEvent) -> bool:
    """Whether a digest tells of such an event."""
    return _news_of(event) is not None and event.pk.startswith("arn:")


def note_event(known: Happened, event: TrailEvent) -> None:
    """Take an event into account, if a digest tells of it."""
    what = _news_of(event)
    if what is not None and is_told_of(event):
        kept = known.setdefault(event.pk, {})
        kept[what] = max(kept.get(what, ("", "")), (event.counts_from or event.at, event.at))


def _news_of(event: TrailEvent) -> str | None:
    if event.kind in _OF_KIND:
        return event.kind
    if event.kind not in {Kind.STATUS_CHANGED, Kind.REASON_CHANGED} or event.status not in _OF_STATUS:
        return None
    # The status itself is as it was before; of what waits, another reason is news.
    if event.kind == Kind.REASON_CHANGED and event.status not in {*_WAITS, Status.WOULD_ENFORCE}:
        return None
    return None if event.status == Status.HELD and event.reason in _UNTOLD else event.status


@dataclass(slots=True)
class Section:
    """The instances of one kind of news: how many, of what, and the first of them as text, new ones before others."""

    count: int = 0
    new: int = 0
    of: Counter[str] = field(default_factory=Counter)
    _first_new: list[str] = field(default_factory=list)
    _first_known: list[str] = field(default_factory=list)

    def add(self, of: str, text: Callable[[], str], *, is_new: bool = True) -> None:
        """Count an instance; its text is only made if there is room for it."""
        self.count += 1
        self.new += is_new
        self.of[of] += 1
        kept = self._first_new if is_new else self._first_known
        if len(kept) < ENTRIES:
            kept.append(text())

    @property
    def entries(self) -> list[str]:
        return [*self._first_new, *self._first_known][:ENTRIES]


@dataclass(slots=True)
class OwnerDigest:
    """What is to be said to one owner."""

    since: datetime
    sections: dict[str, Section] = field(
        default_factory=lambda: {each: Section() for each in (BROKE, NEEDS, CHANGED, ENDS)}
    )

    @property
    def is_news(self) -> bool:
        """Whether anything happened, or ends soon."""
        return any(each.new for each in self.sections.values())

    @property
    def is_empty(self) -> bool:
        return not any(each.count for each in self.sections.values())

    def note(self, row: Row, events: Mapping[str, str], today: date) -> None:
        """Take an instance into account. ``events``: what happened to it since then."""
        broke = _BREAKAGE & events.keys()
        if broke:
            self.sections[BROKE].add(happening(max(broke, key=events.__getitem__)), lambda: broken_entry(row, events))
        elif _needs_a_person(row):
            is_new = bool(events.keys() & _WAITS)
            self.sections[NEEDS].add(row["reason"], lambda: waiting_entry(row, is_new=is_new), is_new=is_new)
        changed = {what: at for what, at in events.items() if what not in _BREAKAGE}
        if _needs_a_person(row) or broke:
            changed = {what: at for what, at in changed.items() if what not in _WAITS}
        if changed:
            last = max(changed, key=changed.__getitem__)
            self.sections[CHANGED].add(happening(last), lambda: changed_entry(row, changed))
        if (ends := _ends_soon(row, today)) is not None:
            self.sections[ENDS].add(ends, lambda: ending(row, ends))

    def note_gone(self, arn: str, events: Mapping[str, str]) -> None:
        """Take an instance into account that the fleet has no longer."""
        parsed = InstanceArn.parse(arn)
        row = {"account": parsed.account, "region": parsed.region, "instance_id": parsed.instance_id}
        name = BROKE if _BREAKAGE & events.keys() else CHANGED
        last = max(events, key=events.__getitem__)
        self.sections[name].add(happening(last), lambda: changed_entry(row, events, is_gone=True))


def _needs_a_person(row: Row) -> bool:
    if row["left_because"] or row["status"] == Status.FAILED:
        return True
    return row["status"] == Status.HELD and row["reason"] not in _PASSES


def _ends_soon(row: Row, today: date) -> str | None:
    """What ends within `SOON`: ``exemption``, ``hold`` or ``notice``."""
    last = (today + SOON).isoformat()
    if row["reason"] == Reason.NOTICE_GIVEN and "" < row["notice_ends_at"] <= f"{last}~":
        return "notice"
    of = {str(Reason.EXEMPT): "exemption", str(Reason.HELD_BY_PERSON): "hold"}.get(row["reason"])
    return of if of and "" < row["ends_on"] <= last else None
