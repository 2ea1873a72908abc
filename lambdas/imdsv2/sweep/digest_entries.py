"""How a digest tells of one instance: which it is, what happened, why, and what to do next. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from imdsv2.domain.lifecycle import Status
from imdsv2.domain.texts.pasting import numbered
from imdsv2.ledger.trail import Kind
from imdsv2.line.messages import HEADLINES, VERIFIED, left_headline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.sweep.rows import Row

_WHY_LENGTH = 400
_NAME_LENGTH = 64

_HAPPENINGS: Mapping[str, str] = {
    **HEADLINES,
    Status.VERIFIED: VERIFIED,
    Kind.BROKE: "its software broke",
    Kind.LEFT: "left to a person",
    Kind.EXEMPTION_SEEN: "exempted by its tag",
    Kind.EXEMPTION_ENDED: "its exemption ended",
    Kind.HOLD_ENDED: "a person's hold ended",
}


def happening(what: str) -> str:
    """What happened in a few words."""
    return _HAPPENINGS[what]


def changed_entry(row: Row, events: Mapping[str, str], *, is_gone: bool = False) -> str:
    """An instance with what happened to it, on one line."""
    in_order = sorted(events.items(), key=lambda each: each[1])
    told = "; ".join(f"{happening(what)} ({_minute(at)})" for what, at in in_order)
    head = f"- {_named(row)}: {told}{'; EC2 lists it no longer' if is_gone else ''}"
    # Until when is what counts, and whether the policy follows it that far.
    return "\n".join([head, *_why(row)]) if Kind.EXEMPTION_SEEN in events and not is_gone else head


def broken_entry(row: Row, events: Mapping[str, str]) -> str:
    """The same, with the reason and what to do."""
    seen = {what: at for what, at in events.items() if what != Kind.EXEMPTION_SEEN}
    return "\n".join([changed_entry(row, seen), *_why(row)])


def waiting_entry(row: Row, *, is_new: bool) -> str:
    """An instance that waits for a person, with the reason and what to do."""
    since = f" since {row['since'][:10]}" if row["since"] else ""
    return "\n".join([f"- {_named(row)}: {_state(row)}{since}{' (new)' if is_new else ''}", *_why(row)])


def ending(row: Row, what: str) -> str:
    """An instance of which something ends soon, and how to prolong that."""
    name = shlex.quote(row["instance_id"])
    match what:
        case "notice":
            head = f"IMDSv1 is switched off after {_minute(row['notice_ends_at'])}, unless it is used until then"
            return "\n".join([f"- {_named(row)}: {head}", *_why(row)])
        case "hold":
            said = f"the hold ends after {row['ends_on']} (UTC)"
            owner = shlex.quote(row["hold_owner"] or "YOUR TEAM")
            todo = f'imdsv2 hold {name} --owner {owner} --reason "YOUR REASON" --until 30d'
        case _:
            said = f"the exemption ends after {row['ends_on']} (UTC)"
            todo = f"write a later day into its tag, or: imdsv2 exempt {name} --until 30d"
    return f"- {_named(row)}: {said}; after that it is judged like any other\n  To prolong it: {todo}"


def _why(row: Row) -> list[str]:
    text, commands = numbered(row["explanation"])
    lines = [f"  {_printable(_cut(text))}"] if text else []
    if row["cohort"]:
        lines.append(f"  Cohort: {_printable(row['cohort'])}")
    explain = f"imdsv2 explain {shlex.quote(row['instance_id'])}"
    if not commands:
        return [*lines, f"  More, and what happens next: {explain}"]
    return [*lines, *(f"  [{number}] {each}" for number, each in enumerate(commands, 1)), f"  More: {explain}"]


def _cut(text: str) -> str:
    """The sentence, at most so long; a number that stands for a command is never cut off alone."""
    if len(text) <= _WHY_LENGTH:
        return text
    references = [f"[{number}]" for number in range(1, 10) if f"[{number}]" in text[_WHY_LENGTH:]]
    cut = text[:_WHY_LENGTH].rpartition(" ")[0]
    return f"{cut}… {' '.join(references)}".rstrip()


def _state(row: Row) -> str:
    reason = row.get("reason", "")
    if row.get("left_because"):
        return left_headline(row["left_because"], is_broken=bool(row["broken_at"]))
    said = _HAPPENINGS.get(row.get("status", ""), "judged")
    return f"{said} ({reason})" if reason else said


def _named(row: Row) -> str:
    place = f"{row['account']} {row['region']}"
    name = _printable(row.get("name", ""))[:_NAME_LENGTH]
    return f"{name} ({row['instance_id']}, {place})" if name else f"{row['instance_id']} ({place})"


def _printable(text: str) -> str:
    """On one line: names are what people have chosen."""
    return "".join(each if each.isprintable() else " " for each in text).strip()


def _minute(at: str) -> str:
    """A time of the ledger or the file, to the minute."""
    return f"{at[:10]} {at[11:16]} UTC"
