"""What launches instances in an account and Region, each source with its verdict, and whether the service may change it itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsv2.aws.origins import trace
from imdsv2.domain.cohort import cohort_of, lineage_of
from imdsv2.source.assembly import assemble
from imdsv2.source.fixing import hindrance, key_of
from imdsv2.source.sharing import judge_together
from imdsv2.source.verdict import holding, word_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.instance import InstanceArn, Place
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.sources import SourceFixes
    from imdsv2.ledger.table import Ledger
    from imdsv2.source.assembly import Source
    from imdsv2.source.verdict import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One source. ``hindrance``: why a person has to change it; None if the service may. ``records``: what the ledger says of its
    running instances."""

    source: Source
    judged: Judged
    hindrance: str | None
    records: Mapping[InstanceArn, Record] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return key_of(self.source)

    def cohorts(self, tag: str | None) -> tuple[str, ...]:
        """The cohorts of its instances, whatever version they run. ``tag``: the policy's cohort tag."""
        keys = {cohort_of(each, tag=tag) for each in self.source.instances}
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


def survey(members: Members, ledger: Ledger, fixes: SourceFixes, place: Place) -> list[Seen]:
    """Look at an account and Region once. Raises what calls raise if its instances cannot be read, or the ledger cannot."""
    traced = trace(members, place)
    sources = assemble(place, traced.origins, traced.found)
    records = ledger.read(holding(sources))
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
    return [
        Seen(
            source=source,
            judged=judged,
            hindrance=hindrance(source, judged, together, alike),
            records={each.arn: records[each.arn] for each in source.running if each.arn in records},
        )
        for source, judged in together
    ]
