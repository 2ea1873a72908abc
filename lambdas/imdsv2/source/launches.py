"""How a source launches: from which template or configuration, and whether tokens are required then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.source.effect import OPTIONAL, REQUIRED, UNKNOWN, Effect, effect_of
from imdsv2.source.launching import Ref
from imdsv2.source.origin import FLEETS, TEMPLATE_TAG, VERSION_TAG, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imdsv2.domain.instance import Instance
    from imdsv2.source.launching import Fleet, Found, Group, Image, Template, Version
    from imdsv2.source.origin import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One way in which a source launches instances.

    Args:
        what: what it launches from, in words.
        effect: whether tokens will be required, and why.
        ref: the launch template as the source names it, None if it uses none.
        template: that template, None if it is gone or cannot be read.
        version: the version that the reference resolves to, None likewise. Where both are known, it is a `TemplateLaunch`.
        image: the AMI, None if it is not known.
        past: whether only past launches are known to have used it.
        silent: whether it says nothing of tokens, so that the account's default and the AMI decide.
        shown: whether it cannot be asked, and its newest instance was taken for it: it may be silent, too.
    """

    what: str
    effect: Effect
    ref: Ref | None = None
    template: Template | None = None
    version: Version | None = None
    image: Image | None = None
    past: bool = False
    silent: bool = False
    shown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateLaunch(Launch):
    """A launch from a version of a launch template that could be read."""

    ref: Ref
    template: Template
    version: Version


def launches_of(origin: Origin, instances: Sequence[Instance], found: Found) -> Iterator[Launch]:
    """The ways in which a source launches; none if what it launches from is gone or cannot be read."""
    group, fleet = found.groups.get(origin.group), found.fleets.get(origin.name)
    image_id = newest_of(instances).image_id
    if origin.group:
        yield from _of_group(group, found, image_id) if group else ()
    elif fleet is not None:
        yield from _of_fleet(fleet, found, image_id)
    elif origin.kind in FLEETS or (origin.kind is Kind.STACK_INSTANCE and origin.template):
        yield from (launch_of(ref, found, image_id) for ref in _launched_from(instances))
    elif origin.kind is Kind.LAUNCH_TEMPLATE:
        yield from _of_template(origin, instances, found)
    elif origin.kind is Kind.BY_HAND:
        image = found.images.get(origin.name)
        yield Launch(what="a launch by hand", effect=effect_of({}, found.defaults, image), image=image, silent=True)
    else:
        yield _as_shown(instances, found)


def newest_of(instances: Sequence[Instance]) -> Instance:
    """The instance that was launched last."""
    return max(instances, key=lambda each: (each.first_launched_at or each.launched_at, each.arn))


def _of_group(group: Group, found: Found, image_id: str) -> Iterator[Launch]:
    yield from (launch_of(ref, found, image_id) for ref in group.refs)
    configuration = found.configurations.get(group.configuration)
    if configuration is not None:
        image = found.images.get(configuration.image)
        yield Launch(
            what=f"launch configuration {configuration.name}",
            effect=effect_of(configuration.options, found.defaults, image),
            image=image,
            silent="HttpTokens" not in configuration.options,
        )


def _of_fleet(fleet: Fleet, found: Found, image_id: str) -> Iterator[Launch]:
    yield from (launch_of(ref, found, image_id) for ref in fleet.refs)
    if fleet.specifications:
        effect = effect_of({}, found.defaults, None)
        yield Launch(
            what=f"{fleet.specifications} launch specifications, which know no metadata options",
            effect=effect,
            silent=True,
        )


def _of_template(origin: Origin, instances: Sequence[Instance], found: Found) -> Iterator[Launch]:
    """The default version counts; versions that instances were launched from are told besides."""
    image_id = newest_of(instances).image_id
    default = launch_of(Ref(id=origin.template), found, image_id)
    yield default
    for ref in _launched_from(instances):
        launch = launch_of(ref, found, image_id, past=True)
        if default.version is None or launch.version != default.version:
            yield launch


def _launched_from(instances: Iterable[Instance]) -> list[Ref]:
    """The template versions of instances' tags."""
    versions = {
        (each.tags[TEMPLATE_TAG], int(each.tags[VERSION_TAG]))
        for each in instances
        if TEMPLATE_TAG in each.tags and each.tags.get(VERSION_TAG, "").isdecimal()
    }
    return [Ref(id=template, version=str(number)) for template, number in sorted(versions)]


def launch_of(ref: Ref, found: Found, image_id: str = "", *, past: bool = False) -> Launch:
    """The launch from a template as it is named. ``image_id``: the AMI where the template names none, or names it by a parameter;
    ``past``: whether only past launches are known to have used it."""
    template, version = found.template(ref), found.version(ref)
    if template is None or version is None:
        what = f"launch template {ref.name or ref.id}, version {ref.version}"
        effect = Effect(tokens=UNKNOWN, because="the template, or this version of it, is gone or cannot be read")
        return Launch(what=what, effect=effect, ref=ref, template=template, past=past)
    number = str(version.number)
    what = f"launch template {template.name} ({template.id}), version {number}"
    image = found.images.get(version.image if version.image.startswith("ami-") else image_id)
    return TemplateLaunch(
        what=f"{what} ({ref.version})" if ref.version != number else what,
        effect=effect_of(version.options, found.defaults, image),
        ref=ref,
        template=template,
        version=version,
        image=image,
        past=past,
        silent="HttpTokens" not in version.options,
    )


def _as_shown(instances: Sequence[Instance], found: Found) -> Launch:
    """What cannot be asked is told from its newest instance; what this service required is no choice of its source."""
    untouched = [each for each in instances if ENFORCED_TAG not in each.tags]
    if not untouched:
        effect = Effect(
            tokens=OPTIONAL, because="every instance that it launched allowed IMDSv1 until this service required tokens"
        )
        return Launch(what="its own launches", effect=effect, shown=True)
    newest = newest_of(untouched)
    closed = newest.options.http_endpoint == "disabled"
    effect = Effect(
        tokens=REQUIRED if closed else newest.options.http_tokens,
        because=f"its newest instance {newest.arn.instance_id} shows "
        + ("a disabled metadata endpoint" if closed else f"HttpTokens={newest.options.http_tokens}"),
    )
    return Launch(what="its own launches", effect=effect, image=found.images.get(newest.image_id), shown=True)
