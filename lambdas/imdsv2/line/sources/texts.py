"""Texts about sources for people: the note on findings that name one, and the message to its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.security_hub import NOTE_LENGTH
from imdsv2.domain.texts.message import Message
from imdsv2.line.note import shortened
from imdsv2.source.remedies import remedies_of
from imdsv2.source.verdict import SourceVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.instance import Placed
    from imdsv2.ledger.source_verdicts import SourceRecord
    from imdsv2.line.sources.judging import JudgedSource
    from imdsv2.source.remedy import Remedy

_HEADLINES: dict[str, str] = {
    SourceVerdict.FIX_SOURCE: "Its next launch allows IMDSv1, and may require tokens",
    SourceVerdict.HOLD: "What it launches may not require tokens yet",
    SourceVerdict.ALREADY_REQUIRED: "Its next launch requires tokens",
}
_SHORT_REMEDY = 150
_LONGEST_REMEDY = 12_000
_LEAST_PROSE = 80


def short_form(source: JudgedSource) -> str | None:
    """A source's remedies in a few words, None if it needs none: the languages, and what the first of them does."""
    remedies = _remedies(source)
    if not remedies:
        return None
    says = remedies[0].says.partition(". ")[0].rstrip(".")
    return f"{', '.join(dict.fromkeys(each.language for each in remedies))}: {shortened(says, _SHORT_REMEDY)}"


def how_to_ask(place: Placed) -> str:
    """The command that answers a place's sources with the whole texts."""
    return f"imdsv2 sources --account {place.account} --in-region {place.region}"


def source_note(record: SourceRecord, place: Placed) -> str:
    """The note on the findings that name a source: verdict, what proves it, the remedy's short form, and where the rest is."""
    said = f"{_HEADLINES.get(str(record.verdict), 'Nothing to do')}: {record.verdict} ({record.reason}). {record.explanation or ''}"
    where = f" The whole text: {how_to_ask(place)}"
    remedy = f" Remedy ({record.remedy})." if record.remedy else ""
    for tail in (remedy + where, where):
        room = NOTE_LENGTH - len(tail)
        if room >= min(len(said.rstrip()), _LEAST_PROSE):
            return shortened(said.rstrip(), room) + tail
    return shortened(said.rstrip(), NOTE_LENGTH)


def owner_message(told: Sequence[JudgedSource], owner: str) -> Message:
    """The message to the owner of sources in one place that have the same verdict: each with its evidence and its remedy."""
    first = told[0]
    count = "1 source" if len(told) == 1 else f"{len(told)} sources"
    verdict = str(first.judged.verdict)
    subject = f"{_HEADLINES[verdict]}: {count} of {owner} in {first.name.account} {first.name.region} ({verdict})"
    lines = [f"{each.name.key}\n{_told(each)}" for each in told]
    where = (
        f"All languages, as they are now: {how_to_ask(first.name)} --language terraform. imdsv2 is the command line "
        "of the service that wrote this: ask your security team."
    )
    return Message(
        subject=subject,
        text="\n\n".join([subject, *lines, where]),
        attributes={
            "kind": "source",
            "decision": verdict,
            "reason": first.reason,
            "owner": owner,
            "account": first.name.account,
            "region": first.name.region,
        },
    )


def _told(source: JudgedSource) -> str:
    parts = [f"  {source.judged.explanation}"]
    if source.evidence:
        parts.append(f"  Evidence: {'; '.join(source.evidence)}.")
    remedies = _remedies(source)
    if remedies:
        first = remedies[0]
        when = (
            "Apply it now" if source.judged.verdict is SourceVerdict.FIX_SOURCE else "Apply it when the hold has ended"
        )
        parts.append(f"  {when} ({first.language}). {first.says}")
        if first.replaces is not None:
            parts.append(f"  Running instances: {first.replaces}")
        # Half a command is worse than none.
        too_long = f"  The text is too long for a message. It is answered by: {how_to_ask(source.name)}"
        parts.append(first.text if len(first.text) <= _LONGEST_REMEDY else too_long)
    return "\n".join(parts)


def _remedies(source: JudgedSource) -> list[Remedy]:
    return [] if source.judged.verdict is SourceVerdict.ALREADY_REQUIRED else remedies_of(source.source)
