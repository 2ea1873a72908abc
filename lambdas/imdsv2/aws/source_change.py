"""Changes what launches instances: versions of launch templates, their default, and what a group points to.

IAM, for the source role: ``ec2:CreateTags`` and ``ec2:CreateLaunchTemplateVersion``, ``ec2:ModifyLaunchTemplate`` on launch templates,
``autoscaling:UpdateAutoScalingGroup`` on groups. Every function raises ClientError, BotoCoreError or QuotaExhausted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.autoscaling import read_groups
from imdsv2.aws.launch_templates import is_no_such_template, templates_of
from imdsv2.aws.pages import listed, pages
from imdsv2.domain.source_fix import FIXED_TAG, Pointer
from imdsv2.source.fixing import named_by, pointed, specification

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client

    from imdsv2.domain.source_fix import SourceFix, Step
    from imdsv2.source.launching import Group, Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version with all that it launches. ``data``: its `LaunchTemplateData`."""

    number: int
    description: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        return {name: value for name, value in self.data.get("MetadataOptions", {}).items() if name != "State"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What is there now. ``group``: None if the fix concerns none, or it is gone; ``pointers``: what it names."""

    templates: Mapping[str, Template]
    group: Group | None
    pointers: tuple[Pointer, ...]


def look(ec2: EC2Client, autoscaling: Any, fix: SourceFix) -> Now:
    """The templates and the group of a fix, as they are now."""
    templates = templates_of(ec2, sorted({each.template for each in fix.steps}))
    group = read_groups(autoscaling, [fix.group]).get(fix.group) if fix.group else None
    pointers = (
        tuple(Pointer(template=named_by(each, fix.steps), version=each.version) for each in group.refs) if group else ()
    )
    return Now(templates=templates, group=group, pointers=pointers)


def versions_from(ec2: EC2Client, step: Step) -> dict[int, Version]:
    """The versions of a template from the step's base on, by number; none if the template is gone."""
    request: dict[str, Any] = {"LaunchTemplateId": step.template, "MinVersion": str(step.base)}
    try:
        return {
            each["VersionNumber"]: Version(
                number=each["VersionNumber"],
                description=each.get("VersionDescription", ""),
                data=dict(each.get("LaunchTemplateData", {})),
            )
            for page in pages(ec2.describe_launch_template_versions, **request)
            for each in listed(page, "LaunchTemplateVersions")
        }
    except ClientError as error:
        if is_no_such_template(error):
            return {}
        raise


def tag(ec2: EC2Client, templates: Iterable[str], now: datetime) -> None:
    """Mark the templates as those of which the service makes versions."""
    when = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    ec2.create_tags(Resources=sorted({*templates}), Tags=[{"Key": FIXED_TAG, "Value": when}])


def make_version(ec2: EC2Client, step: Step, options: Mapping[str, Any], description: str, token: str) -> int:
    """Make a version that takes everything from the step's base but its metadata options; once for each token. Its number."""
    made = ec2.create_launch_template_version(
        LaunchTemplateId=step.template,
        SourceVersion=str(step.base),
        VersionDescription=description,
        ClientToken=token,
        LaunchTemplateData={"MetadataOptions": dict(options)},  # type: ignore[typeddict-item]
    )
    return int(made["LaunchTemplateVersion"]["VersionNumber"])


def set_default(ec2: EC2Client, template: str, number: int) -> None:
    """Make a version the default."""
    ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(number))


def point(autoscaling: Any, group: Group, pointers: Sequence[Pointer]) -> None:
    """Point a group to these versions. Nothing else of it changes, and no instance is replaced."""
    if group.policy is not None:
        autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=group.name, MixedInstancesPolicy=pointed(group.policy, pointers)
        )
    else:
        autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=group.name, LaunchTemplate=specification(pointers[0])
        )
