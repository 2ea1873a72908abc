"""The note on findings: what was decided, why, and what to do next, in the few characters that Security Hub keeps.

Its reader owns the instance, may never have heard of the service and cannot read the ledger. So commands are those of the command line,
and each is whole, or left out as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.security_hub import NOTE_LENGTH
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.texts.commands import commands_in
from imdsv2.domain.texts.pasting import inlined
from imdsv2.line.messages import VERIFIED, headline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.ledger.record import Record

_NO_NEWS = {"verified": VERIFIED}
"""Statuses that appear only in the notes on findings."""
_LEAST_PROSE = 120
"""Characters of the sentence itself that a command must leave room for."""
_ABOUT = " imdsv2 is the command line of the service that wrote this: ask your security team."


def note(record: Record) -> str:
    """The note on the findings of an instance: its headline, verdict and explanation, and the command that shows the rest. What imdsv2
    is, is said if there is room."""
    news = headline(record) or _NO_NEWS.get(str(record.status), "Nothing to do")
    why, commands = inlined(record.explanation or "")
    begin = f"{news}: {record.decision} ({record.reason}). "
    said = f"{begin}{why}".rstrip()
    spans = [(len(begin) + first, len(begin) + last) for first, last in commands]
    # Findings with the same note share a call: a note that names no instance so far goes on naming none.
    name = record.arn.instance_id if commands else "INSTANCE"
    back = f"; if something fails: imdsv2 undo {name}" if record.status == Status.ENFORCED else ""
    more = f" (More: imdsv2 explain {name}{back})"
    if len(said) + len(more) + len(_ABOUT) <= NOTE_LENGTH:
        return f"{said}{more}{_ABOUT}"
    return f"{shortened(said, NOTE_LENGTH - len(more), spans)}{more}"


def shortened(text: str, length: int, commands: Sequence[tuple[int, int]] | None = None) -> str:
    """A text of at most ``length`` characters: of its commands as many as leave room for what precedes them, and that cut at a
    word. ``commands``: where they are, if they are not payloads."""
    if len(text) <= length:
        return text
    spans = _sentences_with_commands(text, commands_in(text) if commands is None else commands)
    prose = text[: spans[0][0]] if spans else text
    for number in range(len(spans), 0, -1):
        kept = " ".join(text[start:end] for start, end in spans[:number])
        room = length - len(kept) - 1
        if room >= min(_LEAST_PROSE, len(prose)):
            return f"{_cut(prose, room)} {kept}".lstrip()
    return _cut(prose, length)


def _sentences_with_commands(text: str, commands: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """From where to where each command goes, with the words of its sentence that introduce it."""
    spans, after = [], 0
    for start, end in commands:
        full_stop = text.rfind(". ", after, start)
        spans.append((after if full_stop < 0 else full_stop + 2, end))
        after = end
    return spans


def _cut(text: str, length: int) -> str:
    text = text.strip()
    if len(text) <= length:
        return text
    return text[:length].rpartition(" ")[0][: length - 1].rstrip() + "…"
