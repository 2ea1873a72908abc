"""Reads Auto Scaling groups and launch configurations, a hundred at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.aws.pages import listed, pages
from imdsv2.domain.batches import batched
from imdsv2.source.launching import DEFAULT, Configuration, Group, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NAMES_A_CALL = 100
"""Most names, and most results, of a call (Auto Scaling API reference, MaxRecords)."""

_SETTINGS = (
    *("ImageId", "InstanceType", "KeyName", "SecurityGroups", "KernelId", "RamdiskId", "BlockDeviceMappings"),
    *("InstanceMonitoring", "SpotPrice", "IamInstanceProfile", "EbsOptimized", "AssociatePublicIpAddress"),
    "PlacementTenancy",
)
"""What describes a launch configuration and makes another like it, under the same names. EC2-Classic has ended."""


def read_groups(autoscaling: Any, names: Iterable[str]) -> dict[str, Group]:
    """The groups of these names; one that is gone is left out. Raises ClientError or BotoCoreError."""
    return {
        each["AutoScalingGroupName"]: _group(each)
        for batch in batched(sorted({*names}), NAMES_A_CALL)
        for each in _pages(autoscaling.describe_auto_scaling_groups, "AutoScalingGroups", AutoScalingGroupNames=batch)
    }


def read_all_groups(autoscaling: Any) -> list[Group]:
    """Every group of an account and Region, also those without instances. Raises ClientError or BotoCoreError."""
    return [_group(each) for each in _pages(autoscaling.describe_auto_scaling_groups, "AutoScalingGroups")]


def read_configurations(autoscaling: Any, names: Iterable[str]) -> dict[str, Configuration]:
    """The launch configurations of these names; one that is gone is left out. Raises ClientError or BotoCoreError."""
    return {
        each["LaunchConfigurationName"]: _configuration(each)
        for batch in batched(sorted({*names}), NAMES_A_CALL)
        for each in _pages(
            autoscaling.describe_launch_configurations, "LaunchConfigurations", LaunchConfigurationNames=batch
        )
    }


def _pages(call: Any, answer: str, **asked: Any) -> Iterator[Mapping[str, Any]]:
    for page in pages(call, **asked, MaxRecords=NAMES_A_CALL):
        yield from listed(page, answer)


def _group(seen: Mapping[str, Any]) -> Group:
    policy = seen.get("MixedInstancesPolicy")
    return Group(
        name=seen["AutoScalingGroupName"],
        arn=seen.get("AutoScalingGroupARN", ""),
        refs=tuple(_refs_of_policy(policy) if policy else _refs_of(seen.get("LaunchTemplate"))),
        configuration=seen.get("LaunchConfigurationName") or "",
        policy=policy,
        tags={tag["Key"]: tag.get("Value", "") for tag in seen.get("Tags", [])},
    )


def _refs_of_policy(policy: Mapping[str, Any]) -> Iterator[Ref]:
    """The main template, then those of overrides that have one of their own."""
    template = policy.get("LaunchTemplate", {})
    yield from _refs_of(template.get("LaunchTemplateSpecification"))
    for override in template.get("Overrides", []):
        yield from _refs_of(override.get("LaunchTemplateSpecification"), override.get("InstanceType", "any type"))


def _refs_of(specification: Mapping[str, Any] | None, *types: str) -> Iterator[Ref]:
    if specification:
        yield Ref(
            id=specification.get("LaunchTemplateId", ""),
            name=specification.get("LaunchTemplateName", ""),
            version=specification.get("Version") or DEFAULT,
            types=types,
        )


def _configuration(seen: Mapping[str, Any]) -> Configuration:
    return Configuration(
        name=seen["LaunchConfigurationName"],
        arn=seen.get("LaunchConfigurationARN", ""),
        image=seen.get("ImageId", ""),
        options=seen.get("MetadataOptions", {}),
        settings={name: seen[name] for name in _SETTINGS if seen.get(name) not in (None, "", [], {})},
        has_user_data=bool(seen.get("UserData")),
    )
