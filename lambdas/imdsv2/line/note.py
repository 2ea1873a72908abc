"""The note on findings: what the ledger says of an instance, in the few characters that Security Hub keeps.

Its reader owns the instance and cannot read the ledger, so a command in it is whole, or left out as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.security_hub import NOTE_LENGTH
from imdsv2.domain.commands import commands_in
from imdsv2.line.messages import headline

if TYPE_CHECKING:
    from imdsv2.ledger.record import Record
    from imdsv2.line.messages import Directions

_NO_NEWS = {"verified": "IMDSv1 is off, and nothing has needed it since"}
"""Statuses that appear only in the notes on findings."""
_LEAST_PROSE = 120
"""Characters of the sentence itself that a command must leave room for."""


def note(record: Record, directions: Directions) -> str:
    """The note on the findings of an instance: its headline, verdict and explanation, and where more is, if there is room."""
    news = headline(record) or _NO_NEWS.get(str(record.status), "Nothing to do")
    said = f"{news}: {record.decision} ({record.reason}). {record.explanation or ''}".rstrip()
    how = f" Commands are payloads of the function {directions.manual_function}." if commands_in(said) else ""
    where = f" Evidence: DynamoDB table {directions.ledger_table}."
    for more in (how + where, how, where):
        if len(said) + len(more) <= NOTE_LENGTH:
            return said + more
    return shortened(said, NOTE_LENGTH)


def shortened(text: str, length: int) -> str:
    """A text of at most ``length`` characters: of its commands as many as leave room for what precedes them, and that cut at a
    word."""
    if len(text) <= length:
        return text
    spans = _sentences_with_commands(text)
    prose = text[: spans[0][0]] if spans else text
    for number in range(len(spans), 0, -1):
        kept = " ".join(text[start:end] for start, end in spans[:number])
        room = length - len(kept) - 1
        if room >= min(_LEAST_PROSE, len(prose)):
            return f"{_cut(prose, room)} {kept}".lstrip()
    return _cut(prose, length)


def _sentences_with_commands(text: str) -> list[tuple[int, int]]:
    """From where to where each command goes, with the words of its sentence that introduce it."""
    spans, after = [], 0
    for start, end in commands_in(text):
        full_stop = text.rfind(". ", after, start)
        spans.append((after if full_stop < 0 else full_stop + 2, end))
        after = end
    return spans


def _cut(text: str, length: int) -> str:
    text = text.strip()
    if len(text) <= length:
        return text
    return text[:length].rpartition(" ")[0][: length - 1].rstrip() + "…"
