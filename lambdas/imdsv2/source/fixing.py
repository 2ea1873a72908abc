"""Whether the service may change a source itself, and what it would change. Pure: from what was read to a plan, or to the reason
why a person has to do it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from imdsv2.domain.source_fix import Pointer, Step
from imdsv2.source.effect import OPTIONAL
from imdsv2.source.launches import TemplateLaunch
from imdsv2.source.launching import DEFAULT
from imdsv2.source.origin import Kind
from imdsv2.source.owner import owner_of
from imdsv2.source.remedy import open_templates
from imdsv2.source.sharing import reaches
from imdsv2.source.verdict import SourceVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsv2.source.assembly import Source
    from imdsv2.source.launching import Group, Ref
    from imdsv2.source.verdict import Judged

FIXABLE = frozenset({Kind.AUTO_SCALING_GROUP, Kind.ECS_CAPACITY_PROVIDER, Kind.LAUNCH_TEMPLATE})
"""Kinds whose launch templates and pointers are a person's own. Everything else is changed where it is managed."""

_SENT = ("HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags")
_SHOWN = 3


def key_of(source: Source) -> str:
    """The key of a source in the ledger and in commands."""
    place = source.place
    return f"{place.partition}/{place.account}/{place.region}/{source.origin.kind}:{source.origin.name}"


def hindrance(
    source: Source,
    judged: Judged,
    others: Iterable[tuple[Source, Judged]],
    alike: Mapping[tuple[str, int], int] = MappingProxyType({}),
) -> str | None:
    """Why the service may not change this source itself; None if it may.

    Args:
        source: the source, with its verdict.
        judged: the verdict.
        others: the other sources of the account and Region, each with its own verdict.
        alike: versions that the service made, by template and number, with the version that they are like but for metadata options.
    """
    if judged.verdict is not SourceVerdict.FIX_SOURCE:
        return f"Its verdict is {judged.verdict}. {judged.explanation}"
    if source.origin.kind not in FIXABLE:
        return f"The service does not change a source of the kind {source.origin.kind}: apply one of its remedies."
    if owners := _owners(source):
        return f"It is managed elsewhere ({owners}): apply the remedy there, or the next deployment undoes the change."
    if source.configuration is not None:
        return "A launch configuration cannot be changed: apply one of the remedies, or move the group to a launch template."
    return _endpoint_trouble(source) or _version_trouble(source, alike) or _shared(source, others)


def _owners(source: Source) -> str:
    named = [f"{what} by {owner.said}" for what, owner in source.owners.items()]
    for each in source.instances:
        if not named and (owner := owner_of(each.tags)):
            named.append(f"instance {each.arn.instance_id} by {owner.said}")
    return ", ".join(named[:_SHOWN])


def _endpoint_trouble(source: Source) -> str | None:
    """A new version names the endpoint as enabled where the one in use says nothing of it, which must not open what the account closes."""
    if source.defaults is not None or all("HttpEndpoint" in each.version.options for each in open_templates(source)):
        return None
    return (
        "The account's metadata defaults cannot be read, and they may disable the endpoint of what it launches: deploy the member roles of "
        "this version there, or apply one of the remedies."
    )


def _version_trouble(source: Source, alike: Mapping[tuple[str, int], int]) -> str | None:
    launches = open_templates(source)
    unknown = [
        each.what
        for each in source.launches
        if not each.past and each.effect.tokens == OPTIONAL and not isinstance(each, TemplateLaunch)
    ]
    if unknown or not launches:
        return f"It is not known from which version it launches ({'; '.join(unknown) or 'none'}): apply one of the remedies."
    newest = {each.version.template: each for each in launches}
    for each in newest.values():
        latest = each.template.latest
        if each.version.number not in {latest, alike.get((each.template.id, latest))}:
            return (
                f"Version {each.template.latest} of launch template {each.template.name} is newer than {each.version.number}, which is "
                "in use: a new version would take its place for whoever launches from $Latest. Point the source to the latest version "
                "first, or apply one of the remedies."
            )
    return None


def _shared(source: Source, others: Iterable[tuple[Source, Judged]]) -> str | None:
    """Others that the change would reach have to be as safe, and nobody else's."""
    for other, judged in others:
        if other is source or not reaches(source, other):
            continue
        name = f"{other.origin.kind} {other.origin.name}"
        if judged.verdict is SourceVerdict.HOLD:
            return f"{name} shares its launch template, and nothing proves yet that it does without IMDSv1: wait for its verdict."
        if owners := _owners(other):
            return f"{name} shares its launch template and is managed elsewhere ({owners}): tell its owner, and apply one of the remedies."
    return None


def steps_of(source: Source) -> tuple[Step, ...]:
    """The versions that are to be made, of each template older bases first: the last one is made from the latest version."""
    using: dict[tuple[str, int], set[str]] = {}
    for each in source.launches:
        if isinstance(each, TemplateLaunch) and not each.past:
            using.setdefault((each.version.template, each.version.number), set()).add(each.ref.version)
    return tuple(
        Step(
            template=each.version.template,
            name=each.template.name,
            base=each.version.number,
            default=each.template.default,
            latest=each.template.latest,
            moves_default=DEFAULT in using[each.version.template, each.version.number],
        )
        for each in open_templates(source)
    )


def pointers_of(group: Group | None, steps: Sequence[Step]) -> tuple[Pointer, ...]:
    """What a group names, in order; a number that is a step's base is pinned."""
    if group is None:
        return ()
    pinned = {(each.template, str(each.base)) for each in steps}
    pointers = []
    for ref in group.refs:
        template = named_by(ref, steps)
        is_pinned = ref.is_pinned and (template, ref.version) in pinned
        pointers.append(Pointer(template=template, version=ref.version, pinned=is_pinned))
    return tuple(pointers)


def named_by(ref: Ref, steps: Iterable[Step]) -> str:
    """The id of the template that a reference names; its name if it is none of the steps' and has no id."""
    by_name = {each.name: each.template for each in steps}
    return ref.id or by_name.get(ref.name, ref.name)


def required(options: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata options of a version that requires tokens: HttpTokens alone is changed. EC2 takes it with an enabled endpoint,
    which is what a launch has that says nothing of it."""
    wanted = {**options, "HttpTokens": "required", "HttpEndpoint": options.get("HttpEndpoint", "enabled")}
    return {name: wanted[name] for name in _SENT if name in wanted}


def as_before(options: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata options of a version that takes the place of ours where the latest one is followed: those of the version in use
    before. Where that said nothing, IMDSv1 was allowed."""
    wanted = {**options, "HttpTokens": options.get("HttpTokens", "optional")}
    return {name: wanted[name] for name in _SENT if name in wanted}


def differences(base: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """In what a version differs from its base beyond requiring tokens, as names of launch template data; empty if in nothing else.

    ``base``, ``made``: `LaunchTemplateData` as EC2 shows it.
    """
    wrong = [
        name
        for name in sorted(base.keys() | made.keys())
        if name != "MetadataOptions" and base.get(name) != made.get(name)
    ]
    expected = required(_plain(base.get("MetadataOptions", {})))
    shown = _plain(made.get("MetadataOptions", {}))
    wrong += [
        f"MetadataOptions.{name}"
        for name in sorted(expected.keys() | shown.keys())
        if expected.get(name) != shown.get(name)
    ]
    return wrong


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "State"}


def pointed(policy: Mapping[str, Any], pointers: Sequence[Pointer]) -> dict[str, Any]:
    """A mixed instances policy as Auto Scaling takes it, with these versions. Templates go by id, because AWS refuses an id beside a
    name; pools belong to one allocation strategy alone, and AWS shows them with others too."""
    template = dict(policy.get("LaunchTemplate", {}))
    remaining = iter(pointers)
    if "LaunchTemplateSpecification" in template:
        template["LaunchTemplateSpecification"] = specification(next(remaining))
    template["Overrides"] = [
        {**each, "LaunchTemplateSpecification": specification(next(remaining))}
        if each.get("LaunchTemplateSpecification")
        else dict(each)
        for each in template.get("Overrides", [])
    ]
    distribution = dict(policy.get("InstancesDistribution", {}))
    if distribution.get("SpotAllocationStrategy") != "lowest-price":
        distribution.pop("SpotInstancePools", None)
    whole = {"LaunchTemplate": {name: value for name, value in template.items() if value}}
    return {**whole, "InstancesDistribution": distribution} if distribution else whole


def specification(pointer: Pointer) -> dict[str, str]:
    """A launch template as Auto Scaling takes it."""
    by = "LaunchTemplateId" if pointer.template.startswith("lt-") else "LaunchTemplateName"
    return {by: pointer.template, "Version": pointer.version}
