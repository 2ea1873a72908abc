"""What launches instances in an account and Region, each source with its verdict, and whether the service may change it itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from imdsv2.aws.autoscaling import read_all_groups
from imdsv2.aws.origins import trace
from imdsv2.domain.cohort import cohort_of, lineage_of
from imdsv2.source.assembly import assemble
from imdsv2.source.fixing import hindrance, key_of
from imdsv2.source.idle import idle_follower
from imdsv2.source.origin import GROUP_TAG
from imdsv2.source.proving import unproved_version
from imdsv2.source.sharing import judge_together, within_reach
from imdsv2.source.verdict import holding, word_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsv2.aws.origins import Traced
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Instance, InstanceArn, Place
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.sources import SourceFixes
    from imdsv2.ledger.table import Ledger
    from imdsv2.source.assembly import Source
    from imdsv2.source.verdict import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One source.

    Args:
        hindrance: why a person has to change it; None if the service may.
        reached: the other sources whose next launches would change with it.
        records: what the ledger says of its instances, and of theirs.
    """

    source: Source
    judged: Judged
    hindrance: str | None
    reached: Sequence[Source] = ()
    records: Mapping[InstanceArn, Record] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return key_of(self.source)

    @property
    def concerned(self) -> list[Instance]:
        """The instances that have a say: its own, and those of the sources that would change with it."""
        return [one for each in (self.source, *self.reached) for one in each.instances]

    def cohorts(self, tag: str | None) -> tuple[str, ...]:
        """The cohorts of these instances, whatever version they run. ``tag``: the policy's cohort tag."""
        keys = {cohort_of(each, tag=tag) for each in self.concerned}
        return tuple(sorted({lineage_of(each) for each in keys if each is not None}))

    def owner(self, policy: Policy) -> str:
        """Whom the owner tag names, on the group, the templates or the instances; else the account."""
        source = self.source
        tagged = [
            *([source.group.tags] if source.group else []),
            *(each.template.tags for each in source.launches if each.template),
            *(each.tags for each in source.instances),
        ]
        return next((tags[policy.owner_tag] for tags in tagged if tags.get(policy.owner_tag)), source.place.account)


def survey(clients: MemberClients, ledger: Ledger, fixes: SourceFixes, place: Place) -> list[Seen]:
    """Look at an account and Region once. Raises what calls raise if its instances cannot be read, or the ledger cannot."""
    traced = trace(clients, place)
    sources = assemble(place, traced.origins, traced.found)
    asked = holding(sources)
    records = ledger.read([*asked, *_resting(sources, asked)])
    words = {arn: word_of(each) for arn, each in records.items() if each.version}
    known = fixes.all(f"{place.partition}/{place.account}/{place.region}/")
    alike = {
        (step.template, number): step.base
        for fix in known
        for step in fix.steps
        for number in (step.made, step.restored)
        if number is not None
    }
    together = list(zip(sources, judge_together(sources, words), strict=True))
    hindered = [
        hindrance(source, judged, together, alike) or unproved_version(source, words, alike)
        for source, judged in together
    ]
    seen = [
        _seen(source, judged, why, sources, records) for (source, judged), why in zip(together, hindered, strict=True)
    ]
    return _beside_idle_groups(seen, clients, place, traced)


def _resting(sources: Iterable[Source], asked: Sequence[InstanceArn]) -> list[InstanceArn]:
    """Instances that do not run, of sources whose running ones have a say: what a person says of them binds as well."""
    running = frozenset(asked)
    return [
        each.arn
        for source in sources
        if any(one.arn in running for one in source.running)
        for each in source.instances
        if each.arn not in running
    ]


def _seen(
    source: Source,
    judged: Judged,
    why: str | None,
    sources: Sequence[Source],
    records: Mapping[InstanceArn, Record],
) -> Seen:
    reached = tuple(within_reach([source], sources)) if why is None else ()
    concerned = {one.arn for each in (source, *reached) for one in each.instances}
    return Seen(
        source=source,
        judged=judged,
        hindrance=why,
        reached=reached,
        records={arn: record for arn, record in records.items() if arn in concerned},
    )


def _beside_idle_groups(several: list[Seen], clients: MemberClients, place: Place, traced: Traced) -> list[Seen]:
    """A group that has no instance now, at night or until it is needed, shows nothing of what its software needs; the change of a
    template that it follows would reach it all the same. All groups are listed only where something is to be changed."""
    if all(each.hindrance is not None for each in several):
        return several
    busy = {each.tags.get(GROUP_TAG, "") for each in traced.instances}
    groups = read_all_groups(clients.other("autoscaling", place))
    idle = [each for each in groups if each.name not in busy]
    return [
        replace(each, hindrance=idle_follower(each.source, idle)) if each.hindrance is None else each
        for each in several
    ]
