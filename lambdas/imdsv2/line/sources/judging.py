"""Judges what launches the instances of an account and Region, by what the ledger says of these instances."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from imdsv2.aws.autoscaling import read_configurations
from imdsv2.aws.images import read_images
from imdsv2.aws.launch_templates import read_versions
from imdsv2.aws.origins import Beside, trace
from imdsv2.domain.source_name import Named, SourceName
from imdsv2.source.assembly import assemble
from imdsv2.source.named import named_source, unused
from imdsv2.source.sharing import judge_beside, judge_together
from imdsv2.source.verdict import Judged, SourceVerdict, Word, holding, word_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn, Place
    from imdsv2.ledger.table import Ledger
    from imdsv2.source.assembly import Source
    from imdsv2.source.launching import Configuration, Found

UNUSED, REQUIRED, UNPROVED, UNREAD = "unused", "already_required", "unproved", "unreadable"
"""Reasons of verdicts on sources, beside those with which their instances are held."""
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSource:
    """A source with its name in the ledger and its verdict. ``evidence``: what the ledger says of some of its running instances.
    ``unanswered``: what decides could not be read; a verdict that is known says more."""

    name: SourceName
    source: Source
    judged: Judged
    evidence: tuple[str, ...] = ()
    unanswered: bool = False

    @property
    def reason(self) -> str:
        """What decided, in a word: of a source that is held for use, the most frequent reason of its instances."""
        if self.judged.held:
            return Counter(self.judged.held.values()).most_common(1)[0][0]
        match self.judged.verdict:
            case SourceVerdict.ALREADY_REQUIRED:
                return REQUIRED
            case SourceVerdict.FIX_SOURCE:
                return UNUSED
            case _:
                return UNREAD if self.source.unread is not None else UNPROVED


@dataclass(slots=True, kw_only=True)
class Seen:
    """The sources of a place as they were traced, with what the ledger says of their instances. ``words`` grows with what is asked."""

    place: Place
    sources: Sequence[Source]
    found: Found
    words: dict[InstanceArn, Word] = field(default_factory=dict)
    verdicts: Sequence[Judged] = ()

    def knows(self, name: SourceName) -> bool:
        """Whether what a finding names was read when the place was traced: what was not may be newer, and used by a group that is."""
        known = self.found.templates if name.kind == Named.TEMPLATE_DEFAULT else self.found.configurations
        return name.name in known

    @property
    def names(self) -> list[SourceName]:
        """All launch templates and configurations that were read there, as findings would name them."""
        place = self.place
        of_kinds = (
            (Named.TEMPLATE_DEFAULT, self.found.templates),
            (Named.LAUNCH_CONFIGURATION, self.found.configurations),
        )
        return [
            SourceName(place.partition, place.region, place.account, kind, name)
            for kind, known in of_kinds
            for name in sorted(known)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceJudge:
    """Traces and judges sources. Methods may raise what calls raise, and LedgerContended."""

    clients: MemberClients
    ledger: Ledger

    def look(self, place: Place, names: Iterable[SourceName] = ()) -> Seen:
        """Trace a place. ``names``: what is to be read even if nothing that exists was launched from it."""
        named = [*names]
        beside = Beside(
            templates={each.name for each in named if each.kind == Named.TEMPLATE_DEFAULT},
            configurations={each.name for each in named if each.kind == Named.LAUNCH_CONFIGURATION},
        )
        traced = trace(self.clients, place, beside)
        seen = Seen(place=place, sources=assemble(place, traced.origins, traced.found), found=traced.found)
        self._hear(seen, seen.sources)
        seen.verdicts = judge_together(seen.sources, seen.words)
        return seen

    def sources(self, seen: Seen) -> list[JudgedSource]:
        """All sources of a place with their verdicts."""
        names = _names(seen.place, seen.sources)
        return [
            JudgedSource(
                name=name,
                source=source,
                judged=judged,
                evidence=_evidence(source, seen.words),
                unanswered=source.unread in seen.found.problems.values(),
            )
            for name, source, judged in zip(names, seen.sources, seen.verdicts, strict=True)
        ]

    def named(self, seen: Seen, names: Collection[SourceName]) -> list[JudgedSource]:
        """What findings name, each judged by the instances of all sources that use it."""
        self._complete(seen, names)
        held = [source for source, judged in zip(seen.sources, seen.verdicts, strict=True) if judged.held]
        sources = {name: named_source(name, seen.place, seen.sources, seen.found) for name in names}
        self._hear(seen, sources.values())
        return [
            JudgedSource(
                name=name,
                source=source,
                judged=unused(source, name.kind) or judge_beside(source, seen.words, held),
                evidence=_evidence(source, seen.words),
                unanswered=source.unread in seen.found.problems.values(),
            )
            for name, source in sources.items()
        ]

    def _complete(self, seen: Seen, names: Iterable[SourceName]) -> None:
        """Read what no source of the place uses: default versions of templates that were listed, and launch configurations."""
        found, several = seen.found, [*names]
        templates = [found.templates.get(each.name) for each in several if each.kind == Named.TEMPLATE_DEFAULT]
        wanted = {(each.id, each.default) for each in templates if each is not None} - found.versions.keys()
        unread = {
            each.name for each in several if each.kind == Named.LAUNCH_CONFIGURATION
        } - found.configurations.keys()
        if not wanted and not unread:
            return
        ec2 = self.clients.ec2_of_sources(seen.place, "read")
        versions = read_versions(ec2, found.templates, wanted) if wanted else {}
        configurations: dict[str, Configuration] = {}
        if unread:
            configurations = read_configurations(self.clients.other("autoscaling", seen.place), unread)
        launched = [*(each.image for each in versions.values()), *(each.image for each in configurations.values())]
        of_them = {*launched} - found.images.keys() - {""}
        seen.found = replace(
            found,
            versions={**found.versions, **versions},
            configurations={**found.configurations, **configurations},
            images={**found.images, **read_images(ec2, of_them, seen.place.account)} if of_them else found.images,
        )

    def _hear(self, seen: Seen, sources: Iterable[Source]) -> None:
        asked = [arn for arn in holding(sources) if arn not in seen.words]
        for arn, record in self.ledger.read(asked).items():
            seen.words[arn] = word_of(record)


def _evidence(source: Source, words: Mapping[InstanceArn, Word]) -> tuple[str, ...]:
    """What the ledger says of running instances, first of those with use, then of those without."""
    known = [(each.arn, words[each.arn]) for each in source.running if each.arn in words and words[each.arn].reason]
    known.sort(key=lambda each: (not each[1].used, not each[1].clean, each[0]))
    return tuple(f"{arn.instance_id} {word.decision} ({word.reason})" for arn, word in known[:_SHOWN])


def _names(place: Place, sources: Iterable[Source]) -> list[SourceName]:
    """A name for each source; where two would have the same, a number tells them apart."""
    taken: Counter[str] = Counter()
    names = []
    for each in sources:
        origin = each.origin
        parts = "/".join(part for part in (origin.within, origin.name) if part)
        name = f"{parts}@{origin.detail}" if origin.detail else parts
        taken[f"{origin.kind}:{name}"] += 1
        number = taken[f"{origin.kind}:{name}"]
        unique = name if number == 1 else f"{name}+{number}"
        names.append(SourceName(place.partition, place.region, place.account, str(origin.kind), unique))
    return names
