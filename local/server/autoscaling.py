"""Auto Scaling groups that launch: real instances of the local EC2, from what their launch template says at that moment; and mixed
instances policies, which ministack does not keep.

Everything else is ministack's. Scaling in ends the newest instances first. Of a mixed instances policy, each launch takes the next
override in turn, so that every template of it is used.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from local.server import platform as ms
from local.server.cloudtrail import requests as cloudtrail
from local.server.cloudtrail.events import service
from local.server.ec2.instances import run_instances
from local.server.ec2.templates import version_of
from local.server.ec2.wire import Ec2Error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.server.platform import Record, Response

    Action = Callable[[Mapping[str, Any]], Response]

_ID: Final = re.compile(rb"<instanceId>(i-[0-9a-f]+)</instanceId>")
_MEMBER: Final = re.compile(r"<AutoScalingGroupName>([^<]*)</AutoScalingGroupName>")
_OPTIONS: Final = (
    "HttpTokens",
    "HttpEndpoint",
    "HttpPutResponseHopLimit",
    "HttpProtocolIpv6",
    "InstanceMetadataTags",
)

_actions: dict[str, Action] = ms.autoscaling._ACTION_MAP
_create: Action = _actions["CreateAutoScalingGroup"]
_update: Action = _actions["UpdateAutoScalingGroup"]
_describe: Action = _actions["DescribeAutoScalingGroups"]


def install() -> None:
    """Replace ministack's actions."""
    _actions["CreateAutoScalingGroup"] = create
    _actions["UpdateAutoScalingGroup"] = update
    _actions["DescribeAutoScalingGroups"] = describe
    ms.autoscaling._reconcile_instances = reconcile


def create(params: Mapping[str, Any]) -> Response:
    """Make a group, with the instances that are desired."""
    name, desired = (
        str(params.get("AutoScalingGroupName", "")),
        params.get("DesiredCapacity") or params.get("MinSize") or 0,
    )
    made = _create({**params, "DesiredCapacity": "0", "MinSize": "0"})
    if made[0] == 200:
        group = _groups()[name]
        group |= {"MinSize": int(params.get("MinSize") or 0), "DesiredCapacity": int(desired)}
        _take(group, params)
        reconcile(group)
    return made


def update(params: Mapping[str, Any]) -> Response:
    """Change a group: what it launches from, and what ministack changes. Nothing that runs is replaced."""
    group = _groups().get(str(params.get("AutoScalingGroupName", "")))
    if group is not None:
        try:
            _take(group, params)
        except KeyError as unknown:
            refusal: Response = ms.autoscaling._error(
                "ValidationError", f"The launch template does not exist: {unknown}"
            )
            return refusal
    return _update(params)


def describe(params: Mapping[str, Any]) -> Response:
    """The groups, with their mixed instances policies."""
    status, headers, body = _describe(params)
    text = body.decode()

    def with_policy(found: re.Match[str]) -> str:
        policy = _groups().get(found[1], {}).get("MixedInstancesPolicy")
        shown = f"<MixedInstancesPolicy>{ms.autoscaling._member_xml(policy)}</MixedInstancesPolicy>" if policy else ""
        return found[0] + shown

    return status, headers, _MEMBER.sub(with_policy, text).encode()


def reconcile(group: Record) -> None:
    """Launch or end instances until there are as many as desired. If EC2 refuses a launch, the group stays smaller, as in AWS, where the
    scaling activity fails."""
    instances: list[Record] = group["Instances"]
    while len(instances) > group["DesiredCapacity"]:
        ended = instances.pop()["InstanceId"]
        if ended in ms.EC2_INSTANCES:
            ms.EC2_ACTIONS["TerminateInstances"]({"InstanceId.1": [ended]})
    with suppress(Ec2Error):
        while len(instances) < group["DesiredCapacity"]:
            instances.append(_launched(group))


def _launched(group: Record) -> Record:
    zone = (group["AvailabilityZones"] or [f"{ms.region()}a"])[0]
    launched: Record = {
        "AvailabilityZone": zone,
        "LifecycleState": "InService",
        "HealthStatus": "Healthy",
        "ProtectedFromScaleIn": False,
        "LaunchConfigurationName": group.get("LaunchConfigurationName", ""),
    }
    named, instance_type = _next(group)
    if not named:
        return {
            **launched,
            "InstanceId": "i-" + str(ms.responses.new_uuid()).replace("-", "")[:17],
            "LaunchTemplate": {},
        }
    template, version = version_of(
        named.get("LaunchTemplateId", ""), named.get("LaunchTemplateName", ""), named.get("Version") or "$Default"
    )
    number = str(version["VersionNumber"])
    answer = run_instances(_request(group, template, version, instance_type))
    as_asked = {"LaunchTemplate.LaunchTemplateId": [template["LaunchTemplateId"]], "LaunchTemplate.Version": [number]}
    cloudtrail.note_launch(
        service("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", "AutoScaling"), as_asked, answer
    )
    found = _ID.search(answer[2])
    if found is None:
        raise RuntimeError(answer[2].decode())
    used = {**named, "LaunchTemplateId": template["LaunchTemplateId"], "Version": number}
    return {**launched, "InstanceId": found[1].decode(), "LaunchTemplate": used}


def _request(group: Record, template: Record, version: Record, instance_type: str) -> dict[str, list[str]]:
    data = version.get("LaunchTemplateData", {})
    tags = {
        "aws:autoscaling:groupName": group["AutoScalingGroupName"],
        "aws:ec2launchtemplate:id": template["LaunchTemplateId"],
        "aws:ec2launchtemplate:version": str(version["VersionNumber"]),
        **{each["Key"]: each["Value"] for each in group.get("Tags", []) if each.get("PropagateAtLaunch")},
    }
    request = {
        "Action": ["RunInstances"],
        "ImageId": [data.get("ImageId", "ami-00000001")],
        "InstanceType": [instance_type or data.get("InstanceType", "t3.micro")],
        "MinCount": ["1"],
        "MaxCount": ["1"],
        "TagSpecification.1.ResourceType": ["instance"],
    }
    for number, (key, value) in enumerate(tags.items(), 1):
        request[f"TagSpecification.1.Tag.{number}.Key"] = [key]
        request[f"TagSpecification.1.Tag.{number}.Value"] = [value]
    options = data.get("MetadataOptions", {})
    return request | {f"MetadataOptions.{name}": [str(options[name])] for name in _OPTIONS if name in options}


def _next(group: Record) -> tuple[Mapping[str, str], str]:
    """The launch template of the next launch as the group names it, and the instance type of the override."""
    policy = group.get("MixedInstancesPolicy")
    if not policy:
        return group.get("LaunchTemplate") or {}, ""
    template = policy["LaunchTemplate"]
    overrides = template.get("Overrides") or [{}]
    override = overrides[len(group["Instances"]) % len(overrides)]
    named = override.get("LaunchTemplateSpecification") or template["LaunchTemplateSpecification"]
    return named, override.get("InstanceType", "")


def _take(group: Record, params: Mapping[str, Any]) -> None:
    """What the group is to launch from. Raises KeyError for a template or version that does not exist."""
    nested = ms.autoscaling._parse_nested
    if named := nested(params, "LaunchTemplate"):
        group["LaunchTemplate"], group["MixedInstancesPolicy"] = _complete(named), None
    if policy := nested(params, "MixedInstancesPolicy"):
        template = policy["LaunchTemplate"]
        template["LaunchTemplateSpecification"] = _complete(template["LaunchTemplateSpecification"])
        for override in template.get("Overrides", []):
            if "LaunchTemplateSpecification" in override:
                override["LaunchTemplateSpecification"] = _complete(override["LaunchTemplateSpecification"])
        group["LaunchTemplate"], group["MixedInstancesPolicy"] = {}, policy


def _complete(named: Mapping[str, str]) -> Record:
    """AWS shows id and name, whichever was sent."""
    version = named.get("Version") or "$Default"
    template, _ = version_of(named.get("LaunchTemplateId", ""), named.get("LaunchTemplateName", ""), version)
    return {
        "LaunchTemplateId": template["LaunchTemplateId"],
        "LaunchTemplateName": template["LaunchTemplateName"],
        "Version": version,
    }


def _groups() -> Mapping[str, Record]:
    groups: Mapping[str, Record] = ms.autoscaling._asgs
    return groups
