"""What findings name beside instances: the default version of a launch template, a launch configuration. Each is judged as a source,
by the instances of all sources that use it; a template that a service made for itself, as what that service launches with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsv2.domain.source_name import Named
from imdsv2.source.assembly import OF_SERVICES, Source
from imdsv2.source.effect import OPTIONAL, UNKNOWN, effect_of
from imdsv2.source.launches import Launch, launch_of, newest_of
from imdsv2.source.launching import Ref
from imdsv2.source.origin import MANAGED, TEMPLATE_TAG, Kind, Origin
from imdsv2.source.owner import owner_of_template
from imdsv2.source.verdict import Judged, SourceVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imdsv2.domain.instance import Instance, InstanceArn, Place
    from imdsv2.domain.source_name import SourceName
    from imdsv2.source.launching import Found


def named_source(name: SourceName, place: Place, sources: Sequence[Source], found: Found) -> Source:
    """The source that a finding names.

    Args:
        name: as the finding names it.
        place: its account and Region.
        sources: all sources there.
        found: what was read there, with this template or configuration.
    """
    if name.kind == Named.TEMPLATE_DEFAULT:
        return _template(name.name, place, sources, found)
    return _configuration(name.name, place, sources, found)


def unused(source: Source, kind: str) -> Judged | None:
    """The verdict on what nothing that exists was launched from; None for others."""
    if source.instances or source.unread is not None or source.tokens != OPTIONAL:
        return None
    owner = next((each for each in source.owners.values() if each.made_it), None)
    if owner is not None:
        why = (
            "Nothing that exists was launched from it, so nothing proves that what it launches does without IMDSv1. It was made by "
            f"{owner.said} for itself: neither change nor delete it. Wait for what is launched from it, or delete there what it is for."
        )
        return Judged(verdict=SourceVerdict.HOLD, explanation=why)
    why = (
        "Nothing that exists was launched from it, so nothing proves that what it launches does without IMDSv1. If nobody needs it, "
        f"delete the {'launch template' if kind == Named.TEMPLATE_DEFAULT else 'launch configuration'}; otherwise launch one instance "
        "from it, and wait for that one's verdict."
    )
    return Judged(verdict=SourceVerdict.HOLD, explanation=why)


def _template(template_id: str, place: Place, sources: Sequence[Source], found: Found) -> Source:
    if of_service := [each for each in sources if _is_made_for(each, template_id)]:
        return _together(of_service)
    ref = Ref(id=template_id)
    instances = _instances(
        each for source in sources for each in source.instances if _launches_from(source, template_id, each)
    )
    launch = launch_of(ref, found, newest_of(instances).image_id if instances else "")
    owner = owner_of_template(launch.template) if launch.template is not None else None
    gone = None
    if launch.effect.tokens == UNKNOWN:
        gone = f"The launch template {template_id}{'' if launch.template is None else ', or its default version,'} is gone."
    return Source(
        place=place,
        origin=Origin(kind=Kind.LAUNCH_TEMPLATE, name=template_id, template=template_id),
        instances=instances,
        launches=(launch,),
        images=(launch.image,) if launch.image is not None else (),
        defaults=found.defaults,
        owners={f"launch template {launch.template.name}": owner} if launch.template and owner else {},
        unread=_problem(found, "launch templates", "versions of launch templates") or gone,
    )


def _configuration(name: str, place: Place, sources: Sequence[Source], found: Found) -> Source:
    users = [each for each in sources if each.configuration is not None and each.configuration.name == name]
    if users:
        return _together(users)
    configuration = found.configurations.get(name)
    origin = Origin(kind=Kind.AUTO_SCALING_GROUP, name=name)
    if configuration is None:
        gone = f"The launch configuration {name} is gone."
        why = _problem(found, "launch configurations") or gone
        return Source(place=place, origin=origin, instances=(), unread=why)
    image = found.images.get(configuration.image)
    launch = Launch(
        what=f"launch configuration {name}",
        effect=effect_of(configuration.options, found.defaults, image),
        image=image,
        silent="HttpTokens" not in configuration.options,
    )
    return Source(place=place, origin=origin, instances=(), launches=(launch,))


def _together(users: Sequence[Source]) -> Source:
    """Sources that launch from the same, as one of them with the instances of all."""
    owners = {what: owner for each in users for what, owner in each.owners.items()}
    return replace(users[0], instances=_instances(one for each in users for one in each.instances), owners=owners)


def _is_made_for(source: Source, template_id: str) -> bool:
    """Whether a service made a template for what it launches; not so one of the customer's own, which it copies."""
    if source.origin.kind not in {*OF_SERVICES, *MANAGED}:
        return False
    of_launches = (each.template for each in source.launches if each.template is not None)
    return any(each.id == template_id for each in of_launches) or any(
        each.tags.get(TEMPLATE_TAG) == template_id for each in source.instances
    )


def _launches_from(source: Source, template_id: str, instance: Instance) -> bool:
    if instance.tags.get(TEMPLATE_TAG) == template_id:
        return True
    launches = (*source.launches, *((source.own,) if source.own is not None else ()))
    return any(each.template is not None and each.template.id == template_id for each in launches if not each.past)


def _instances(several: Iterable[Instance]) -> list[Instance]:
    found: dict[InstanceArn, Instance] = {each.arn: each for each in several}
    return list(found.values())


def _problem(found: Found, *calls: str) -> str | None:
    return next((found.problems[each] for each in calls if each in found.problems), None)
