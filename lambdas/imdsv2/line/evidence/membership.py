"""Who belongs to a cohort: its living members by EC2, those that have ended by what is remembered, and by what Auto Scaling tells."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.ec2 import instances_of
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.scaling import ACTIVITIES_KEPT_DAYS, scaling_of
from imdsv2.domain.batches import batched
from imdsv2.domain.cohort import cohort_of, filter_of, is_named_by_image, kind_of, lineage_of, source_name
from imdsv2.domain.evidence.pool import Member
from imdsv2.domain.instance import Place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from imdsv2.aws.image_owners import ImageOwners
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Instance, InstanceArn, Placed
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.pool import KeptPool

_VALUES_A_FILTER = 200
_ENDED_STATES = frozenset({"shutting-down", "terminated"})
_ENDING = timedelta(days=2)
"""An instance may take so long to end, with lifecycle hooks."""


@dataclass(slots=True, kw_only=True)
class Membership:
    """The members of one cohort.

    ``members``: with what is remembered of them. ``instances``: as EC2 shows those that are there. ``ended``: what the group has
    launched (None: not known when) and ended, and whose version only the ledger can tell. ``other_versions``: what is of other versions
    from the same source. ``problem``: why EC2 could not be read; ``doubt``: why nobody can tell who belongs to it.
    """

    members: dict[InstanceArn, Member] = field(default_factory=dict)
    instances: dict[InstanceArn, Instance] = field(default_factory=dict)
    ended: dict[InstanceArn, Member] = field(default_factory=dict)
    other_versions: set[InstanceArn] = field(default_factory=set)
    problem: str | None = None
    doubt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memberships:
    """Finds out who belongs to cohorts of one account and Region at a time."""

    clients: MemberClients
    images: ImageOwners

    def cohorts(self, instances: Collection[Instance], policy: Policy) -> dict[InstanceArn, str | None]:
        """The cohort of each instance."""
        by_image = {each.image_id: each.arn for each in instances if is_named_by_image(each, policy.cohort_tag)}
        foreign = self.images.foreign(next(iter(by_image.values())), by_image) if by_image else set()
        return {
            each.arn: cohort_of(each, tag=policy.cohort_tag, own_image=each.image_id not in foreign)
            for each in instances
        }

    def read(
        self, examples: Mapping[str, Instance], known: Mapping[str, KeptPool], policy: Policy, now: datetime
    ) -> dict[str, Membership]:
        """The membership of each cohort; where EC2 cannot be read, what is remembered of it, with the problem.

        Args:
            examples: a member of each.
            known: what is remembered of each.
            policy: the policy in force.
            now: the time.
        """
        place = next(iter(examples.values())).arn
        memberships = {key: Membership(members={each.arn: each for each in known[key].members}) for key in examples}
        try:
            listed = self._listed(place, examples.values(), policy)
            named = self.cohorts(listed.values(), policy)
        except CALL_FAILURES as error:
            for membership in memberships.values():
                membership.problem = describe_error(error)
            return memberships
        by_source: dict[str, list[str]] = defaultdict(list)
        for key in examples:
            by_source[lineage_of(key)].append(key)
        for arn, instance in listed.items():
            of_it = named[arn]
            for each in by_source.get(lineage_of(of_it), ()) if of_it is not None else ():
                if each == of_it:
                    _enter(memberships[each], instance, now)
                else:
                    memberships[each].other_versions.add(arn)
        for key, membership in memberships.items():
            self._complete(place, key, membership, known[key], policy, now)
        return memberships

    def _complete(
        self, place: Placed, key: str, membership: Membership, known: KeptPool, policy: Policy, now: datetime
    ) -> None:
        """Note who has ended, and what nobody can tell."""
        for arn, member in membership.members.items():
            if member.ended_at is None and arn not in membership.instances:
                membership.members[arn] = replace(member, ended_at=now)
        if kind_of(key) == "group":
            # What could not be read at the last look has to be read from the window's beginning on, not from that look.
            read_at = known.read_at if known.doubt is None else None
            self._read_activities(place, key, membership, read_at, policy, now)
        elif kind_of(key) == "image" and not self.images.is_known_own(place, source_name(key)):
            membership.doubt = "EC2 does not say whose AMI it is, and of somebody else's anything may run"

    def _listed(self, place: Placed, examples: Iterable[Instance], policy: Policy) -> dict[InstanceArn, Instance]:
        """All instances from the examples' sources, and perhaps others."""
        by_filter: dict[str, set[str]] = defaultdict(set)
        for each in examples:
            name, value = filter_of(each, policy.cohort_tag)
            by_filter[name].add(value)
        ec2 = self.clients.ec2(place, "read")
        found: dict[InstanceArn, Instance] = {}
        for name, several in by_filter.items():
            for values in batched(sorted(several), _VALUES_A_FILTER):
                listed = instances_of(ec2, place, name, values)
                found |= {each.arn: each for each in listed}
        return found

    def _read_activities(
        self, place: Placed, key: str, membership: Membership, read_at: datetime | None, policy: Policy, now: datetime
    ) -> None:
        """What the group has ended since it was last asked, or in the window."""
        since = now - timedelta(days=min(policy.lookback_days, ACTIVITIES_KEPT_DAYS))
        if read_at is not None:
            since = max(since, read_at - _ENDING)
        try:
            scaling = scaling_of(self.clients.other("autoscaling", place), source_name(key), since)
        except CALL_FAILURES as error:
            membership.doubt = f"which members its group has ended could not be read ({describe_error(error)})"
            return
        for instance_id, ended_at in scaling.ended.items():
            arn = Place.of(place).instance(instance_id)
            launched_at = scaling.launched.get(instance_id)
            if arn in membership.instances:
                continue
            if arn in membership.members:
                known = membership.members[arn]
                earliest = min(known.ended_at or ended_at, ended_at)
                membership.members[arn] = replace(
                    known, ended_at=earliest, launched_at=known.launched_at or launched_at
                )
            else:
                membership.ended[arn] = Member(arn=arn, launched_at=launched_at, ended_at=ended_at)


def _enter(membership: Membership, instance: Instance, now: datetime) -> None:
    """Enter an instance that EC2 shows; for an hour or so it shows what has ended as well."""
    known = membership.members.get(instance.arn, Member(arn=instance.arn))
    if instance.state in _ENDED_STATES:
        launched_at = known.launched_at or instance.launched_at
        membership.members[instance.arn] = replace(known, launched_at=launched_at, ended_at=known.ended_at or now)
        return
    membership.instances[instance.arn] = instance
    membership.members[instance.arn] = replace(known, launched_at=instance.launched_at, ended_at=None)
