"""What a change of one source does to others: sources share launch templates, and all share the account's default."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.source.effect import OPTIONAL
from imdsv2.source.launching import DEFAULT, LATEST
from imdsv2.source.origin import FLEETS, Kind
from imdsv2.source.verdict import Judged, SourceVerdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import Launch
    from imdsv2.source.verdict import Word

_SHOWN = 3
_OF_TEMPLATES = frozenset({Kind.AUTO_SCALING_GROUP, Kind.ECS_CAPACITY_PROVIDER, Kind.LAUNCH_TEMPLATE, *FLEETS})


def judge_together(sources: Sequence[Source], words: Mapping[InstanceArn, Word]) -> list[Judged]:
    """The verdicts on sources, in order. One whose change would reach another that is held for use is held as well."""
    alone = [judge(each, words) for each in sources]
    held = [source for source, judged in zip(sources, alone, strict=True) if judged.held]
    return [
        _with_others(source, judged, [each for each in held if each is not source and reaches(source, each)])
        for source, judged in zip(sources, alone, strict=True)
    ]


def judge_beside(source: Source, words: Mapping[InstanceArn, Word], held: Iterable[Source]) -> Judged:
    """The verdict on what is no source of its own, such as a launch template that sources share. ``held``: the sources that are held
    for use."""
    return _with_others(source, judge(source, words), [each for each in held if reaches(source, each)])


def within_reach(chosen: Sequence[Source], everything: Iterable[Source]) -> list[Source]:
    """The other sources that changes of the chosen ones would reach."""
    names = {(each.place, each.origin) for each in chosen}
    return [
        other
        for other in everything
        if (other.place, other.origin) not in names and any(reaches(each, other) for each in chosen)
    ]


def reaches(source: Source, other: Source) -> bool:
    """Whether the remedy of a source changes what another one launches: a new version is the latest for all who follow the latest,
    a new default the default for all who follow the default, and the account's default for every launch that says nothing, or of
    which nobody can ask what it says. Karpenter says it in every case."""
    if source.place != other.place:
        return False
    if source.origin.group and source.origin.group == other.origin.group:
        return True  # One group, whose older members lack the tag of the service that uses it since.
    if source.origin.kind is Kind.BY_HAND:
        asked = other.origin.kind is Kind.KARPENTER
        return any(each.silent or (each.shown and not asked) for each in other.launches if not each.past)
    changed = _changed(source)
    latest = {template for template, _ in changed}
    return any(
        (template in latest and version == LATEST) or (version == DEFAULT and (template, DEFAULT) in changed)
        for template, version in _followed(other.own, *other.launches)
    )


def _changed(source: Source) -> set[tuple[str, str]]:
    """The templates of which the remedy makes a version, as the source names them; those that a service made stay as they are."""
    if source.own is not None:
        return _followed(source.own)
    return _followed(*source.launches) if source.origin.kind in _OF_TEMPLATES else set()


def _followed(*launches: Launch | None) -> set[tuple[str, str]]:
    """Templates and versions as they are named, of launches that allow IMDSv1."""
    return {
        (each.template.id, each.ref.version)
        for each in launches
        if each is not None and each.ref is not None and each.template is not None
        if each.effect.tokens == OPTIONAL and not each.past
    }


def _with_others(source: Source, judged: Judged, others: Sequence[Source]) -> Judged:
    if judged.verdict is not SourceVerdict.FIX_SOURCE or not others:
        return judged
    named = ", ".join(f"{each.origin.kind} {each.origin.name}" for each in others[:_SHOWN])
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    by_default = source.origin.kind is Kind.BY_HAND
    shared = "the account's default decides for others as well" if by_default else "others share its launch template"
    why = (
        f"Its own instances allow the change, but {shared}: it would reach {named}{more}, where something needs IMDSv1. "
        "Do first what the explanation there says."
    )
    return replace(judged, verdict=SourceVerdict.HOLD, explanation=why)
