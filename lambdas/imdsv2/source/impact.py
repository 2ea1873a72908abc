"""What guardrails would block today: pure functions from sources, and what the ledger says of their instances, to what would fail.

The policies themselves are made in `infra/guardrails`, and described in docs/guardrails.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.domain.texts.words import calls, day
from imdsv2.source.effect import OPTIONAL, REQUIRED
from imdsv2.source.launches import newest_of
from imdsv2.source.origin import MANAGED, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from imdsv2.domain.evidence.pool import Trace
    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import Launch
    from imdsv2.source.verdict import Word

_USES = frozenset({"v1_in_use", "v1_refused", "v1_recurs", "v1_at_boot", "hop_limit_fallback", "broke_before"})
"""Reasons with which an instance is held for its own use of IMDSv1, not for another's."""
_ALL_FAIL = "if it fetches its role's credentials so, all calls with them fail."
_OF_SERVICE_LINKED_ROLES = frozenset({Kind.EC2_FLEET, Kind.SPOT_FLEET})
"""These launch as a service-linked role, like every Auto Scaling group; no service control policy binds such a role."""


class Guardrail(StrEnum):
    """The guardrails that block something which exists; `openings` and `credentials` concern what somebody would do."""

    LAUNCHES = "launches"
    ENFORCED = "defaults"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What a guardrail would block: the launches of a source, or the calls of one of its instances.

    Args:
        certain: False if it cannot be told.
        because: why, and what a person can do, in words.
    """

    guardrail: Guardrail
    source: Source
    instance: Instance | None = None
    certain: bool
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of instances beside the ledger's words.

    Args:
        calls: the IMDSv1 calls of those that make some.
        quiet: of the others that were asked about, what was seen instead, as part of a sentence.
        closed_lately: those that require tokens, and may still use credentials that IMDSv1 delivered, with until when.
    """

    calls: Mapping[InstanceArn, Trace] = field(default_factory=dict)
    quiet: Mapping[InstanceArn, str] = field(default_factory=dict)
    closed_lately: Mapping[InstanceArn, str] = field(default_factory=dict)


def impact(
    sources: Iterable[Source], words: Mapping[InstanceArn, Word], most_hops: int, known: Known | None = None
) -> list[Hit]:
    """What the guardrails would block. ``words``: what the ledger says of instances that allow IMDSv1, one that is left out is not
    known there; ``most_hops``: the hop limit that the guardrails allow."""
    return [
        hit
        for source in sources
        for hit in (
            *_launches(source, most_hops),
            *_enforced(source),
            *_delivery(source, words, known or Known()),
        )
    ]


def of_concern(sources: Iterable[Source]) -> list[InstanceArn]:
    """The running instances with a role, of which the ledger has to be asked: those that allow IMDSv1, and those that do no more."""
    return [each.arn for source in sources for each in source.running if each.has_role and _answers(each)]


def exposed(sources: Iterable[Source]) -> list[InstanceArn]:
    """Of these, those that allow IMDSv1."""
    return [each.arn for source in sources for each in _exposed(source)]


def unclear(arns: Iterable[InstanceArn], words: Mapping[InstanceArn, Word]) -> list[InstanceArn]:
    """Those of which the ledger's words do not say whether they call IMDSv1."""
    return [each for each in arns if each not in words or not (_calls_itself(words[each]) or words[each].clean)]


def _launches(source: Source, most_hops: int) -> Iterator[Hit]:
    """A launch that does not itself say that tokens are required is denied, whatever default applies after that."""
    if source.origin.kind in MANAGED | _OF_SERVICE_LINKED_ROLES or source.origin.group:
        return
    now = [each for each in source.launches if not each.past]
    if source.unread is not None or not now:
        why = source.unread or "It is not known what it launches from."
        yield Hit(guardrail=Guardrail.LAUNCHES, source=source, certain=False, because=why)
        return
    for launch in now:
        if fault := _fault(asked_by(launch, source.instances), most_hops):
            certain = not _may_say_required(source)
            doubt = "" if certain else " Its newest instance requires tokens: if the launch said so, it goes on."
            because = f"{launch.what}: {fault}.{doubt}"
            yield Hit(guardrail=Guardrail.LAUNCHES, source=source, certain=certain, because=because)
            return


def _may_say_required(source: Source) -> bool:
    """Whether people who launch by hand may say it themselves: then what they launched requires tokens, though no service changed it."""
    if source.origin.kind is not Kind.BY_HAND:
        return False
    untouched = [each for each in source.instances if ENFORCED_TAG not in each.tags]
    return bool(untouched) and newest_of(untouched).options.http_tokens == REQUIRED


def _fault(options: Mapping[str, Any], most_hops: int) -> str | None:
    tokens, hops = options.get("HttpTokens"), options.get("HttpPutResponseHopLimit", 0)
    if tokens is None:
        return "it does not say HttpTokens; say HttpTokens=required, because the policy may not see the account's or the AMI's default"
    if tokens != REQUIRED:
        return f"it says HttpTokens={tokens}; say required"
    if hops > most_hops:
        return f"it asks for {hops} hops, and {most_hops} are allowed"
    return None


def asked_by(launch: Launch, instances: Sequence[Instance]) -> Mapping[str, Any]:
    """The metadata options that a launch itself states, under EC2's names; what cannot be asked is told from the newest instance
    that this service did not change."""
    if launch.version is not None:
        return launch.version.options
    if launch.silent:
        return {}
    untouched = [each for each in instances if ENFORCED_TAG not in each.tags]
    if not untouched:
        return {"HttpTokens": launch.effect.tokens}
    newest = newest_of(untouched).options
    return {"HttpTokens": newest.http_tokens, "HttpPutResponseHopLimit": newest.hop_limit}


def _enforced(source: Source) -> Iterator[Hit]:
    """With the default `required`, a launch that says nothing requires tokens; one that says `optional` is refused."""
    if source.origin.kind in MANAGED:
        return
    configured = source.configuration.options if source.configuration is not None else {}
    for launch in source.launches:
        if launch.past:
            continue
        stated = launch.version.options if launch.version is not None else configured if source.configuration else None
        if stated is not None and stated.get("HttpTokens") == OPTIONAL:
            because = f"{launch.what}: it says HttpTokens=optional; say required, or nothing."
            yield Hit(guardrail=Guardrail.ENFORCED, source=source, certain=True, because=because)
            return
        if stated is None and not launch.silent and launch.effect.tokens != REQUIRED:
            because = f"{launch.what}: whether it says HttpTokens=optional, or nothing, is not known."
            yield Hit(guardrail=Guardrail.ENFORCED, source=source, certain=False, because=because)
            return


def _exposed(source: Source) -> list[Instance]:
    """Running instances to which IMDSv1 delivers credentials if their software asks for them."""
    return [
        each for each in source.running if each.has_role and _answers(each) and each.options.http_tokens != REQUIRED
    ]


def _answers(instance: Instance) -> bool:
    return instance.options.http_endpoint != "disabled"


def _calls_itself(word: Word) -> bool:
    return word.broken or word.reason in _USES


def _delivery(source: Source, words: Mapping[InstanceArn, Word], known: Known) -> Iterator[Hit]:
    for each in _exposed(source):
        word = words.get(each.arn)
        found = known.calls.get(each.arn)
        if word is not None and _calls_itself(word):
            because = f"It calls IMDSv1 ({'broke_before' if word.broken else word.reason}); {_ALL_FAIL}"
            yield Hit(guardrail=Guardrail.DELIVERY, source=source, instance=each, certain=True, because=because)
        elif word is not None and word.clean:
            continue
        elif found is not None:
            refused = " that were refused" if found.refused else ""
            said = f"{word.reason}; {calls(found.calls)}" if word is not None else calls(found.calls)
            because = f"It calls IMDSv1 ({said}{refused}, the last on {day(found.last)}); {_ALL_FAIL}"
            yield Hit(guardrail=Guardrail.DELIVERY, source=source, instance=each, certain=True, because=because)
        else:
            because = f"{_unproved(word, known.quiet.get(each.arn))}: {_to_do(word)}."
            yield Hit(guardrail=Guardrail.DELIVERY, source=source, instance=each, certain=False, because=because)
    for each in source.running:
        if each.arn in known.closed_lately:
            because = known.closed_lately[each.arn]
            yield Hit(guardrail=Guardrail.DELIVERY, source=source, instance=each, certain=False, because=because)


def _unproved(word: Word | None, seen: str | None) -> str:
    why = "The ledger does not know it" if word is None else f"It is not proved to do without IMDSv1 ({word.reason})"
    return f"{why}; {seen}" if seen else why


def _to_do(word: Word | None) -> str:
    """An exempt instance is not judged while it is."""
    return (
        "end its exemption, then have it judged"
        if word is not None and word.reason == "exempt"
        else "have it judged first"
    )
