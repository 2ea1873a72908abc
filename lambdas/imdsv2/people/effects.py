"""What the answer to a command says will be of each instance: until when, for whom, on what evidence. So says its preview, before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.texts.words import minute
from imdsv2.ledger.values import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from imdsv2.domain.history import Acceptance, Answer, Hold
    from imdsv2.ledger.record import Record

    Tells = Callable[[Record], Mapping[str, Any]]

_TOLD = ("tokenless_calls", "last_tokenless_call", "observed_hours", "coverage", "window_start", "window_end")


def of_answer(answer: Answer, now: datetime) -> Tells:
    """What an approval or a refusal says."""
    until = (
        f"approved until {minute(answer.expires_at)}, for one attempt; {at_its_turn(now)}"
        if answer.expires_at
        else None
    )
    outcome = until or "refused until somebody approves it by name"
    return lambda record: {"outcome": outcome, "evidence": _evidence(record)}


def of_hold(hold: Hold) -> Tells:
    """What a hold says, and the one that it takes the place of: nobody's is replaced in silence."""

    def tells(record: Record) -> dict[str, Any]:
        said = {"outcome": f"held through {hold.until} (UTC), for {hold.owner}", "evidence": _evidence(record)}
        before = record.hold
        if before is None:
            return said
        until = before.until.isoformat()
        return {**said, "replaces": {"by": before.by, "owner": before.owner, "reason": before.reason, "until": until}}

    return tells


def of_release(now: datetime) -> Tells:
    """What a release ends."""

    def tells(record: Record) -> dict[str, Any]:
        hold = record.hold
        ends = f"no longer held for {hold.owner} through {hold.until}; {at_its_turn(now)}" if hold is not None else None
        return {"outcome": ends}

    return tells


def of_acceptance(acceptance: Acceptance, now: datetime) -> Tells:
    """What an acceptance says, and what it accepts."""
    outcome = f"accepted through {acceptance.until} (UTC) by {acceptance.owner}, for one attempt; {at_its_turn(now)}"
    return lambda record: {"outcome": outcome, "evidence": _evidence(record)}


def at_its_turn(now: datetime) -> str:
    """When what was said leads to a verdict."""
    return f"next judged at its turn, from {minute(now)} on"


def _evidence(record: Record) -> dict[str, Any] | None:
    """The numbers of the last evidence; an answer about thousands has no room for more."""
    known = record.evidence
    return {name: plain(known[name]) for name in _TOLD if known.get(name) is not None} if known else None
