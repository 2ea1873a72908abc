"""What launches instances, as AWS shows it: templates and their versions, groups, launch configurations, fleets, images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.source.origin import Origin

DEFAULT, LATEST = "$Default", "$Latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A launch template as a group or fleet names it. ``version``: `$Default`, `$Latest` or a number; ``types``: the instance
    types of the override that names it, () for the main specification."""

    id: str = ""
    name: str = ""
    version: str = DEFAULT
    types: tuple[str, ...] = ()

    @property
    def is_pinned(self) -> bool:
        return self.version not in {DEFAULT, LATEST}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A launch template with its numbered versions that are of interest."""

    id: str
    name: str
    default: int
    latest: int
    tags: Mapping[str, str] = field(default_factory=dict)
    managed_by: str | None = None

    def number(self, version: str) -> int:
        """The number of a version as it is named."""
        return {DEFAULT: self.default, LATEST: self.latest}.get(version) or int(version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a launch template. ``options``: its `MetadataOptions` as EC2 shows them, {} if it has none."""

    template: str
    number: int
    image: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An Auto Scaling group. ``policy``: its mixed instances policy as the API shows it, None if it has none."""

    name: str
    arn: str
    refs: tuple[Ref, ...] = ()
    configuration: str = ""
    policy: Mapping[str, Any] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A launch configuration. ``settings``: all that `CreateLaunchConfiguration` takes of it, except the user data, which may
    hold secrets; ``has_user_data``: whether there are any."""

    name: str
    arn: str
    image: str
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    has_user_data: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """An EC2 Fleet or a Spot Fleet request. ``configs``: its launch template configurations as the API shows them;
    ``specifications``: how many launch specifications a Spot Fleet has, which know no metadata options."""

    id: str
    kind: str = "maintain"
    refs: tuple[Ref, ...] = ()
    configs: tuple[Mapping[str, Any], ...] = ()
    specifications: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An AMI. ``own``: whether this account owns it; ``requires``: whether its `ImdsSupport` is `v2.0`."""

    id: str
    name: str = ""
    own: bool = False
    requires: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The account's metadata defaults in a Region.

    Args:
        tokens: `required`, `optional`, or "" for no preference.
        endpoint: `enabled`, `disabled`, or "" for no preference.
        hop_limit: -1 for no preference.
        managed_by: `account` or `declarative-policy`; "" if EC2 does not say.
    """

    tokens: str = ""
    endpoint: str = ""
    hop_limit: int = -1
    managed_by: str = ""
    enforced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a service says of a thing that launches for it. ``own``: the launch template of the customer's that it copies, if any."""

    arn: str | None = None
    own: Ref | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was read of a place's sources. What could not be read is a sentence in ``problems``, by the name of the call."""

    groups: Mapping[str, Group] = field(default_factory=dict)
    configurations: Mapping[str, Configuration] = field(default_factory=dict)
    fleets: Mapping[str, Fleet] = field(default_factory=dict)
    services: Mapping[Origin, Service] = field(default_factory=dict)
    templates: Mapping[str, Template] = field(default_factory=dict)
    versions: Mapping[tuple[str, int], Version] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    defaults: Defaults | None = None
    problems: Mapping[str, str] = field(default_factory=dict)

    def template(self, ref: Ref) -> Template | None:
        """The template that a reference names, by id or by name."""
        if ref.id in self.templates:
            return self.templates[ref.id]
        return next((each for each in self.templates.values() if ref.name and each.name == ref.name), None)

    def version(self, ref: Ref) -> Version | None:
        """The version that a reference resolves to now."""
        template = self.template(ref)
        return self.versions.get((template.id, template.number(ref.version))) if template else None
