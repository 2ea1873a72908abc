"""The verdict on a source: whether its next launches may require tokens. A pure function from what it launches and what the ledger
says of its instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from imdsv2.domain.evidence.pool import runs_one_software
from imdsv2.domain.verdict import MAY_CHANGE, Decision, Reason
from imdsv2.source.effect import OPTIONAL, REQUIRED
from imdsv2.source.origin import MANAGED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.source.assembly import Source

_SHOWN = 5

USED = frozenset(
    {
        Reason.V1_IN_USE,
        Reason.V1_REFUSED,
        Reason.V1_RECURS,
        Reason.V1_AT_BOOT,
        Reason.HOP_LIMIT_FALLBACK,
        Reason.BROKE_BEFORE,
        Reason.CHANGED_BACK,
        Reason.UNDONE_BY_PERSON,
        Reason.COHORT_USES_V1,
    }
)
"""Reasons with which an instance is held because something needs IMDSv1, or somebody opened it again."""
_GATES = MAY_CHANGE | frozenset(
    {
        Reason.SWITCHED_OFF,
        Reason.POLICY_UNREADABLE,
        Reason.SUPPRESSED,
        Reason.BREAKER_OPEN,
        Reason.CANARY_WAIT,
        Reason.APPROVAL_REQUIRED,
        Reason.NOTICE_GIVEN,
        Reason.CALENDAR_CLOSED,
        Reason.CAP_REACHED,
    }
)
"""Reasons of instances whose evidence permits the change."""


_BY_EVIDENCE = frozenset({Reason.UNUSED, Reason.COHORT_UNUSED})
"""Reasons of instances that may be changed by their evidence, and not because a person answers for it."""


class SourceVerdict(StrEnum):
    """What may be done about a source."""

    FIX_SOURCE = "fix_source"
    HOLD = "hold"
    ALREADY_REQUIRED = "already_required"


_SEEN_AFTER = timedelta(hours=27)
"""So long after a call, whoever judges another of the cohort has seen it: CloudWatch shows it within three hours, and what was judged
within a day is not asked about again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What the ledger says of an instance.

    Args:
        decision, reason: the last verdict.
        broken: whether its software broke, and no person has cleared it since.
        cohort: the key of its cohort.
        decided_at: when it was last judged.
        called_at: the last accepted IMDSv1 call that was seen then; None if there was none, or if that is not known.
    """

    decision: str | None = None
    reason: str | None = None
    broken: bool = False
    cohort: str | None = None
    decided_at: datetime | None = None
    called_at: datetime | None = None

    @property
    def used(self) -> bool:
        return self.broken or self.reason in USED

    @property
    def clean(self) -> bool:
        return not self.used and (self.decision == Decision.ENFORCE or self.reason in _GATES)

    def outweighs(self, other: Word) -> bool:
        """Whether the calls of another are known to hold nobody else. This one runs the same software, and was found to do without
        IMDSv1 after they had been seen: what may be a stray call or a probe holds its siblings until they have outweighed it
        (`domain.strays`). Of one AMI, or one template that people launch from, members may run anything."""
        if self.broken or other.broken or other.reason != Reason.V1_IN_USE or self.reason not in _BY_EVIDENCE:
            return False
        if self.decided_at is None or other.called_at is None or self.cohort is None or self.cohort != other.cohort:
            return False
        return runs_one_software(self.cohort) and self.decided_at >= other.called_at + _SEEN_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict on a source, with a sentence for people, and the instances that hold it, each with its reason."""

    verdict: SourceVerdict
    explanation: str
    held: Mapping[InstanceArn, str] = field(default_factory=dict)


def judge(source: Source, words: Mapping[InstanceArn, Word]) -> Judged:
    """Judge a source. ``words``: what the ledger says of its running instances; one that is left out is not known there.

    A launch that requires tokens is as safe as the evidence of the instances that were launched before it. Held are, in this
    order: what cannot be read; what has a running instance that is held for use; what no running instance was proved for.
    """
    running = source.running
    if source.origin.kind in MANAGED:
        return _managed(source)
    if source.unread is not None:
        return Judged(
            verdict=SourceVerdict.HOLD, explanation=f"{_sentence(source.unread)} Until then it cannot be judged."
        )
    if source.tokens == REQUIRED:
        return Judged(verdict=SourceVerdict.ALREADY_REQUIRED, explanation=_required(source))
    allows = _allowing(source)
    known = {each.arn: words[each.arn] for each in running if each.arn in words}
    held = {arn: _why(word) for arn, word in held_for_use(known).items()}
    if held:
        return Judged(verdict=SourceVerdict.HOLD, explanation=f"{allows} {_held(held, len(running))}", held=held)
    clean = [each for each in running if is_clean(each, words)]
    if not clean:
        return Judged(verdict=SourceVerdict.HOLD, explanation=f"{allows} {_unproved(running, words)}")
    proved = (
        f"{_count(len(clean))} of its {_count(len(running))} running instances {'is' if len(clean) == 1 else 'are'} known to do "
        f"without IMDSv1, and {_strays_told([arn for arn, word in known.items() if word.used]) or 'none is held for its use'}."
    )
    return Judged(verdict=SourceVerdict.FIX_SOURCE, explanation=f"{allows} {proved} {_what_to_do(source)}")


def held_for_use(words: Mapping[InstanceArn, Word]) -> dict[InstanceArn, Word]:
    """Of the running instances of a source, those that hold it: something needs IMDSv1 on them, as far as anybody knows."""
    clean = [each for each in words.values() if each.clean]
    return {arn: word for arn, word in words.items() if word.used and not any(each.outweighs(word) for each in clean)}


def _strays_told(strays: Sequence[InstanceArn]) -> str:
    named = ", ".join(arn.instance_id for arn in strays[:_SHOWN])
    more = f" and {len(strays) - _SHOWN} more" if len(strays) > _SHOWN else ""
    if not strays:
        return ""
    return (
        f"the few calls of {named}{more} are taken for strays or probes: others that run the same software were found to make none "
        "since"
    )


def _managed(source: Source) -> Judged:
    open_ones = [each for each in source.running if each.options.http_tokens != REQUIRED]
    if source.origin.kind is Kind.EKS_AUTO_MODE or (source.running and not open_ones):
        why = "The service that launches its instances requires tokens, and nobody else can change that."
        return Judged(verdict=SourceVerdict.ALREADY_REQUIRED, explanation=why)
    why = (
        f"{_count(len(open_ones))} of its running instances allow IMDSv1, and only the service that launches them "
        f"({source.origin.kind}) can change that: look for its own setting."
    )
    return Judged(verdict=SourceVerdict.HOLD, explanation=why)


def _required(source: Source) -> str:
    first = next(each for each in source.launches if not each.past)
    told = f"Its next launch requires tokens ({first.what}: {first.effect.because})."
    past = [each.what for each in source.launches if each.past and each.effect.tokens == OPTIONAL]
    if past:
        told += f" Whoever still names an older version launches with IMDSv1: {'; '.join(past[:_SHOWN])}."
    open_ones = sum(each.options.http_tokens != REQUIRED for each in source.running)
    if open_ones:
        told += f" {_count(open_ones)} of its running instances still allow IMDSv1; each of these is judged for itself."
    return told


def _allowing(source: Source) -> str:
    ways = [each for each in source.launches if each.effect.tokens == OPTIONAL and not each.past]
    told = "; ".join(f"{each.what}: {each.effect.because}" for each in ways[:_SHOWN])
    more = f"; and {len(ways) - _SHOWN} more" if len(ways) > _SHOWN else ""
    return f"Its next launch allows IMDSv1 ({told}{more})."


def _held(held: Mapping[InstanceArn, str], running: int) -> str:
    named = ", ".join(f"{arn.instance_id} {reason}" for arn, reason in list(held.items())[:_SHOWN])
    more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
    return (
        f"{_count(len(held))} of its {_count(running)} running instances {'is' if len(held) == 1 else 'are'} held because something "
        f"needs IMDSv1 ({named}{more}): do first what their explanations say, otherwise the same breaks in whatever is launched next."
    )


def _unproved(running: Sequence[Instance], words: Mapping[InstanceArn, Word]) -> str:
    if not running:
        return (
            "None of its instances is running, so nothing proves yet that its software does without IMDSv1: start one."
        )
    reasons: dict[str, int] = {}
    for each in running:
        reason = words[each.arn].reason if each.arn in words else None
        reasons[reason or "not judged yet"] = reasons.get(reason or "not judged yet", 0) + 1
    told = ", ".join(
        f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda each: -each[1])[:_SHOWN]
    )
    return (
        f"None of its {_count(len(running))} running instances has been proved to do without IMDSv1 ({told}): wait for their "
        "verdicts, or ask for them with the manual function."
    )


def _what_to_do(source: Source) -> str:
    if not source.owners:
        return "Apply one of the remedies; what is running stays as it is."
    owners = ", ".join(f"{what} belongs to {owner.said}" for what, owner in source.owners.items())
    return (
        f"Apply the remedy where it is managed ({owners}): what is changed elsewhere is undone by the next deployment."
    )


def is_clean(instance: Instance, words: Mapping[InstanceArn, Word]) -> bool:
    """Whether an instance is known to do without IMDSv1, by the ledger's word or because it requires tokens."""
    word = words.get(instance.arn)
    if word is not None and (word.clean or word.used):
        return word.clean
    return instance.options.http_tokens == REQUIRED  # It lives without IMDSv1, whoever requires it.


def _why(word: Word) -> str:
    return str(word.reason) if word.reason in USED else Reason.BROKE_BEFORE


def _count(number: int) -> str:
    return f"{number:,}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


class Recorded(Protocol):
    """What is taken from the ledger's record of an instance."""

    @property
    def decision(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def is_broken(self) -> bool: ...
    @property
    def cohort(self) -> str | None: ...
    @property
    def decided_at(self) -> datetime | None: ...
    @property
    def evidence(self) -> Mapping[str, Any] | None: ...


def word_of(record: Recorded) -> Word:
    """What the ledger's record of an instance says."""
    called_at = (record.evidence or {}).get("last_tokenless_call")
    return Word(
        decision=record.decision,
        reason=record.reason,
        broken=record.is_broken,
        cohort=record.cohort,
        decided_at=record.decided_at,
        called_at=datetime.fromisoformat(called_at) if called_at else None,
    )


def holding(sources: Iterable[Source]) -> list[InstanceArn]:
    """The running instances of which the ledger has to be asked: those of sources that are not settled already."""
    return [
        each.arn
        for source in sources
        if source.tokens == OPTIONAL and source.unread is None and source.origin.kind not in MANAGED
        for each in source.running
    ]
