"""Puts sources together: each origin with its instances, what it launches next, and who manages it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsv2.domain.verdict_table.container_host import is_container_host
from imdsv2.source.effect import OPTIONAL, REQUIRED, UNKNOWN
from imdsv2.source.launches import Launch, launch_of, launches_of
from imdsv2.source.origin import FLEETS, Kind
from imdsv2.source.owner import KARPENTER, Owner, owner_of, owner_of_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from imdsv2.domain.instance import Instance, Placed
    from imdsv2.source.launching import (
        Configuration,
        Defaults,
        Fleet,
        Found,
        Group,
        Image,
        Service,
    )
    from imdsv2.source.origin import Origin

_CONTAINER_KINDS = frozenset(
    {Kind.KARPENTER, Kind.EKS_NODE_GROUP, Kind.BATCH, Kind.ECS_CAPACITY_PROVIDER, Kind.EKS_AUTO_MODE}
)
OF_SERVICES: Mapping[Kind, str] = {
    Kind.BEANSTALK: "elastic beanstalk",
    Kind.EMR: "emr",
    Kind.EKS_NODE_GROUP: "eks",
    Kind.BATCH: "batch",
    Kind.KARPENTER: KARPENTER,
}
"""Kinds that make their templates and groups themselves: a person changes the service's own setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What launches instances, as it is now.

    Args:
        service: what EKS or Batch says of it, None if they were not asked.
        own: the launch template of the customer's that the service copies; its launches are those of the copy.
        images: the AMIs that it launches from, and those of its instances, as far as they can be seen.
        defaults: the account's, which decide where its launches say nothing; None if they cannot be read.
        owners: who manages it, by what they manage, in words; empty if nobody is known to.
        unread: why it cannot be judged, in words; None if it can.
    """

    place: Placed
    origin: Origin
    instances: Sequence[Instance]
    launches: Sequence[Launch] = ()
    group: Group | None = None
    configuration: Configuration | None = None
    fleet: Fleet | None = None
    service: Service | None = None
    own: Launch | None = None
    images: Sequence[Image] = ()
    defaults: Defaults | None = None
    owners: Mapping[str, Owner] = field(default_factory=dict)
    unread: str | None = None

    @property
    def running(self) -> list[Instance]:
        return [each for each in self.instances if each.state == "running"]

    @property
    def tokens(self) -> str:
        """What its next launches require: `OPTIONAL` if any of them allows IMDSv1."""
        told = {each.effect.tokens for each in self.launches if not each.past} or {UNKNOWN}
        return next(each for each in (OPTIONAL, UNKNOWN, REQUIRED) if each in told or each == REQUIRED)

    @property
    def runs_containers(self) -> bool:
        """Whether containers are known to run on its instances. Many container hosts have no tag that tells."""
        return self.origin.kind in _CONTAINER_KINDS or any(is_container_host(each.tags) for each in self.instances)

    @property
    def open_images(self) -> list[Image]:
        """The account's own AMIs, among those that it launches from or has launched, that do not require tokens themselves."""
        return [each for each in self.images if each.own and not each.requires]

    @property
    def arn(self) -> str | None:
        """The ARN of the source, where AWS has one and the parts are known."""
        if self.service is not None:
            return self.service.arn
        if self.group is not None:
            return self.group.arn or None
        ec2 = f"arn:{self.place.partition}:ec2:{self.place.region}"
        match self.origin.kind:
            case Kind.LAUNCH_TEMPLATE:
                return f"{ec2}:{self.place.account}:launch-template/{self.origin.name}"
            case Kind.EC2_FLEET:
                return f"{ec2}:{self.place.account}:fleet/{self.origin.name}"
            case Kind.SPOT_FLEET:
                return f"{ec2}:{self.place.account}:spot-fleet-request/{self.origin.name}"
            case Kind.BY_HAND | Kind.TERRAFORM_INSTANCE if self.origin.name.startswith("ami-"):
                return f"{ec2}::image/{self.origin.name}"
        return None


def assemble(place: Placed, origins: Mapping[Origin, Sequence[Instance]], found: Found) -> list[Source]:
    """The sources of a place, those first that have launched most of the running instances that allow IMDSv1."""
    sources = [_source(place, origin, instances, found) for origin, instances in origins.items()]
    return sorted(sources, key=lambda each: (-_open(each), -len(each.running), each.origin))


def _open(source: Source) -> int:
    return sum(each.options.http_tokens != REQUIRED for each in source.running)


def _source(place: Placed, origin: Origin, instances: Sequence[Instance], found: Found) -> Source:
    group = found.groups.get(origin.group)
    configuration = found.configurations.get(group.configuration) if group else None
    fleet = found.fleets.get(origin.name)
    launches = tuple(launches_of(origin, instances, found))
    service = found.services.get(origin)
    own = launch_of(service.own, found) if service is not None and service.own is not None else None
    return Source(
        place=place,
        origin=origin,
        instances=instances,
        launches=launches,
        group=group,
        configuration=configuration,
        fleet=fleet,
        service=service,
        own=own,
        images=tuple({each.id: each for each in _images(instances, launches, found)}.values()),
        defaults=found.defaults,
        owners=dict(_owners(origin, instances, group, fleet, launches, own)),
        unread=_unread(origin, group, fleet, launches, found),
    )


def _images(instances: Iterable[Instance], launches: Iterable[Launch], found: Found) -> Iterator[Image]:
    yield from (each.image for each in launches if each.image is not None)
    for image_id in dict.fromkeys(each.image_id for each in instances):
        if image_id in found.images:
            yield found.images[image_id]


def _owners(
    origin: Origin,
    instances: Sequence[Instance],
    group: Group | None,
    fleet: Fleet | None,
    launches: Iterable[Launch],
    own: Launch | None,
) -> Iterator[tuple[str, Owner]]:
    if service := OF_SERVICES.get(origin.kind):
        yield str(origin.kind), Owner(manager=service)
        if own is None:
            return
    elif group is not None and (owner := owner_of(group.tags)):
        yield f"Auto Scaling group {group.name}", owner
    if fleet is not None and (owner := owner_of(fleet.tags)):
        yield f"fleet {fleet.id}", owner
    if origin.kind in {Kind.STACK_INSTANCE, Kind.TERRAFORM_INSTANCE} and (owner := owner_of(instances[0].tags)):
        yield "instances", owner
    for template in (each.template for each in ((own,) if own else launches) if each.template):
        if owner := owner_of_template(template):
            yield f"launch template {template.name}", owner


def _unread(
    origin: Origin, group: Group | None, fleet: Fleet | None, launches: Sequence[Launch], found: Found
) -> str | None:
    if origin.group and group is None:
        return found.problems.get("Auto Scaling groups", f"The Auto Scaling group {origin.group} is gone.")
    if group is not None and group.configuration and group.configuration not in found.configurations:
        return found.problems.get(
            "launch configurations", f"The launch configuration {group.configuration} of the group is gone."
        )
    if origin.kind in FLEETS and fleet is None and not launches:
        return found.problems.get(
            "Spot Fleets" if origin.kind is Kind.SPOT_FLEET else "EC2 Fleets", "EC2 no longer shows it."
        )
    unknown = [each for each in launches if each.effect.tokens == UNKNOWN and not each.past]
    if unknown:
        known = ("launch templates", "versions of launch templates")
        why = next((found.problems[each] for each in known if each in found.problems), None)
        return why or f"{unknown[0].what}: {unknown[0].effect.because}."
    return None if launches else "It is not known what it launches from."
