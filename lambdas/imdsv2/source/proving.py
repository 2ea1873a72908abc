"""Whether the version from which a source launches is proved, and not only an older one: another version may run other software. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.source.origin import TEMPLATE_TAG, VERSION_TAG
from imdsv2.source.remedy import open_templates
from imdsv2.source.verdict import is_clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import Instance, InstanceArn
    from imdsv2.source.assembly import Source
    from imdsv2.source.launches import TemplateLaunch
    from imdsv2.source.verdict import Word


def unproved_version(
    source: Source, words: Mapping[InstanceArn, Word], alike: Mapping[tuple[str, int], int]
) -> str | None:
    """Why the service waits with a source of which something else is proved than what it launches next; None if it need not. A template
    from which no running instance was launched follows the source's other templates: its own first members are the canaries.

    Args:
        source: the source.
        words: what the ledger says of its instances.
        alike: versions that the service made, by template and number, with the version that they are like but for metadata options.
    """
    launches = open_templates(source)
    states = [_is_proved(source, each, words, alike) for each in launches]
    waits = [each for each, is_proved in zip(launches, states, strict=True) if is_proved is False]
    if not waits and any(states):
        return None
    launch = [*waits, *launches][0]
    return (
        f"Version {launch.version.number} of launch template {launch.template.name} is in use, and no running instance that was launched "
        "from it is known to do without IMDSv1 yet, only others: wait for the verdicts of what it launches, or apply one of the remedies."
    )


def _is_proved(
    source: Source, launch: TemplateLaunch, words: Mapping[InstanceArn, Word], alike: Mapping[tuple[str, int], int]
) -> bool | None:
    """Whether a running instance of the version is known to do without IMDSv1; None if nothing that runs was launched from its
    template."""
    template, number = launch.version.template, launch.version.number
    in_use = _first(template, number, alike)
    known = [(_version_of(each, launch, alike), is_clean(each, words)) for each in source.running]
    if not any(version for version, _ in known):
        return None
    return any(version == in_use and clean for version, clean in known)


def _version_of(instance: Instance, launch: TemplateLaunch, alike: Mapping[tuple[str, int], int]) -> int:
    """From which version of a launch's template an instance was launched, 0 if from none. AWS's tags tell it, where it has any; where
    it has none, its AMI."""
    template, version = instance.tags.get(TEMPLATE_TAG), instance.tags.get(VERSION_TAG, "")
    if template is None:
        image = launch.version.image
        return launch.version.number if image.startswith("ami-") and image == instance.image_id else 0
    if template != launch.version.template or not version.isdecimal():
        return 0
    return _first(template, int(version), alike)


def _first(template: str, number: int, alike: Mapping[tuple[str, int], int]) -> int:
    """The version like this one that somebody else made: the service may have made its versions from such of its own."""
    while (template, number) in alike:
        number = alike[template, number]
    return number
