"""Traces where the instances of an account and Region come from: reads each thing that launches them once, however many it launched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from imdsv2.aws.autoscaling import read_configurations, read_groups
from imdsv2.aws.ec2 import IDS_A_CALL, every_instance
from imdsv2.aws.errors import CALL_FAILURES, KEYS_REFUSED, describe_error, error_code
from imdsv2.aws.fleets import read_fleets, read_spot_fleets
from imdsv2.aws.images import read_defaults, read_images
from imdsv2.aws.launch_templates import read_templates, read_versions
from imdsv2.aws.services import read_environments, read_node_groups
from imdsv2.source.launching import Found, Ref
from imdsv2.source.origin import TEMPLATE_TAG, VERSION_TAG, Kind, Origin, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Instance, Placed
    from imdsv2.source.launching import Configuration, Defaults, Fleet, Group, Service, Template

Key = TypeVar("Key")
Read = TypeVar("Read")

NODE_GROUPS_ASKED = 8
"""Calls of EKS for each 1,000 instances."""
DECISIVE = frozenset(
    {Kind.SPOT_FLEET, Kind.EC2_FLEET, Kind.STACK_INSTANCE, Kind.LAUNCH_TEMPLATE, Kind.TERRAFORM_INSTANCE}
)
"""Kinds whose own template, if any, is known from their instances' tags alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """The instances of a place that exist, what launched each, and what was read of those sources."""

    instances: Sequence[Instance]
    origins: Mapping[Origin, Sequence[Instance]]
    found: Found


@dataclass(slots=True)
class _Trouble:
    """What could not be read: a sentence for a person, by what it was."""

    problems: dict[str, str] = field(default_factory=dict)

    def avoid(self, what: str, read: Callable[[], dict[Key, Read]]) -> dict[Key, Read]:
        try:
            return read()
        except CALL_FAILURES as error:
            refused = error_code(error) in KEYS_REFUSED
            advice = "deploy the member roles of this version there, and ask again" if refused else "ask again later"
            self.problems[what] = f"The {what} cannot be read ({describe_error(error)}): {advice}."
            return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What is read although no instance may have been launched from it: ids of launch templates, names of launch configurations."""

    templates: Collection[str] = ()
    configurations: Collection[str] = ()

    @property
    def is_empty(self) -> bool:
        return not self.templates and not self.configurations


NOTHING_BESIDE = Beside()


def trace(clients: MemberClients, place: Placed, beside: Beside = NOTHING_BESIDE) -> Traced:
    """Trace all instances of an account and Region: also what launches a single one may be shared. Raises what calls raise if the
    instances themselves cannot be read; the rest is told in `Found.problems`."""
    ec2 = clients.ec2_of_sources(place, "read")
    instances = every_instance(ec2, place)
    origins: dict[Origin, list[Instance]] = {}
    for each in instances:
        origins.setdefault(origin_of(each), []).append(each)
    return Traced(instances=instances, origins=origins, found=_read(clients, place, ec2, origins, beside))


def _read(
    clients: MemberClients, place: Placed, ec2: Any, origins: Mapping[Origin, Sequence[Instance]], beside: Beside
) -> Found:
    trouble = _Trouble()
    groups, configurations = _read_groups(clients, place, origins, beside.configurations, trouble)
    fleets = _read_fleets(ec2, origins, trouble)
    services = _read_services(clients, place, origins, trouble)
    refs = {*_refs(groups.values()), *_refs(fleets.values()), *_refs_of_instances(origins)}
    refs |= {each.own for each in services.values() if each.own is not None}
    refs |= {Ref(id=each) for each in beside.templates}
    templates: dict[str, Template] = {}
    if refs:
        templates = trouble.avoid("launch templates", lambda: read_templates(ec2))
    found = Found(groups=groups, configurations=configurations, fleets=fleets, templates=templates)
    wanted = {(template.id, template.number(ref.version)) for ref in refs if (template := found.template(ref))}
    versions = trouble.avoid("versions of launch templates", lambda: read_versions(ec2, templates, wanted))
    images = {
        *(each.image_id for several in origins.values() for each in several),
        *(each.image for each in versions.values()),
        *(each.image for each in configurations.values()),
    }
    return Found(
        groups=groups,
        configurations=configurations,
        fleets=fleets,
        services=services,
        templates=templates,
        versions=versions,
        images=trouble.avoid("AMIs", lambda: read_images(ec2, images, place.account)),
        defaults=_read_defaults(ec2, trouble) if origins or not beside.is_empty else None,
        problems=trouble.problems,
    )


def _read_groups(
    clients: MemberClients, place: Placed, origins: Iterable[Origin], beside: Collection[str], trouble: _Trouble
) -> tuple[dict[str, Group], dict[str, Configuration]]:
    names = {origin.group for origin in origins if origin.group}
    if not names and not beside:
        return {}, {}

    def groups() -> dict[str, Group]:
        return read_groups(clients.other("autoscaling", place), names)

    found = trouble.avoid("Auto Scaling groups", groups) if names else {}
    configured = {*beside, *(each.configuration for each in found.values() if each.configuration)}
    if not configured:
        return found, {}

    def configurations() -> dict[str, Configuration]:
        return read_configurations(clients.other("autoscaling", place), configured)

    return found, trouble.avoid("launch configurations", configurations)


def _read_services(
    clients: MemberClients, place: Placed, origins: Mapping[Origin, Sequence[Instance]], trouble: _Trouble
) -> dict[Origin, Service]:
    """What EKS and Batch say. EKS is asked for one node group at a time, so for those that allow most IMDSv1, and for so many only
    that the calls stay in proportion to the instances."""
    launched = sum(map(len, origins.values()))
    most = max(NODE_GROUPS_ASKED, NODE_GROUPS_ASKED * launched // IDS_A_CALL)
    node_groups = sorted(
        (each for each in origins if each.kind is Kind.EKS_NODE_GROUP and each.within),
        key=lambda each: (-sum(one.options.http_tokens != "required" for one in origins[each]), each),
    )[:most]
    environments = [each for each in origins if each.kind is Kind.BATCH]
    found: dict[Origin, Service] = {}
    if node_groups:
        found |= trouble.avoid("EKS node groups", lambda: read_node_groups(clients.other("eks", place), node_groups))
    if environments:
        found |= trouble.avoid(
            "Batch compute environments", lambda: read_environments(clients.other("batch", place), environments)
        )
    return found


def _read_defaults(ec2: Any, trouble: _Trouble) -> Defaults | None:
    return trouble.avoid("account's metadata defaults", lambda: {"": read_defaults(ec2)}).get("")


def _read_fleets(ec2: Any, origins: Iterable[Origin], trouble: _Trouble) -> dict[str, Fleet]:
    by_kind = {kind: [each.name for each in origins if each.kind is kind] for kind in (Kind.EC2_FLEET, Kind.SPOT_FLEET)}
    found: dict[str, Fleet] = {}
    if fleets := by_kind[Kind.EC2_FLEET]:
        found |= trouble.avoid("EC2 Fleets", lambda: read_fleets(ec2, fleets))
    if spot := by_kind[Kind.SPOT_FLEET]:
        found |= trouble.avoid("Spot Fleets", lambda: read_spot_fleets(ec2, spot))
    return found


def _refs(several: Iterable[Group] | Iterable[Fleet]) -> Iterable[Ref]:
    return (ref for each in several for ref in each.refs)


def _refs_of_instances(origins: Mapping[Origin, Sequence[Instance]]) -> Iterable[Ref]:
    """What instances were launched from directly: the version of the tag, and the one that is the default by now."""
    for origin, several in origins.items():
        if origin.kind not in DECISIVE:
            continue
        for each in several:
            if template := each.tags.get(TEMPLATE_TAG):
                yield Ref(id=template)
                version = each.tags.get(VERSION_TAG, "")
                if version.isdecimal():
                    yield Ref(id=template, version=version)
