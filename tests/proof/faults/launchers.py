"""What launched the instances of the fault matrix: a group, an EC2 Fleet and a Spot Fleet, the same in each account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FLEET, SPOT_FLEET = "fleet-00000000-0000-0000-0000-000000000001", "sfr-00000000-0000-0000-0000-000000000001"
TAGS: tuple[Mapping[str, str], ...] = (
    {"aws:autoscaling:groupName": "group"},
    {"aws:ec2:fleet-id": FLEET},
    {"aws:ec2spot:fleet-request-id": SPOT_FLEET},
)
"""By which the three instances are told apart."""
FURTHER: tuple[Mapping[str, str], ...] = (
    {},
    {"eks:cluster-name": "cluster", "eks:nodegroup-name": "nodes", "aws:autoscaling:groupName": "group"},
    {"AWSBatchServiceTag": "batch", "aws:autoscaling:groupName": "group"},
)
"""Further instances: by hand, of EKS, of Batch."""

_TEMPLATE = {"LaunchTemplateId": "lt-00000001", "LaunchTemplateName": "template"}
_CONFIGS = [{"LaunchTemplateSpecification": {**_TEMPLATE, "Version": "1"}, "Overrides": []}]

ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "DescribeAutoScalingGroups": {
        "AutoScalingGroups": [
            {
                "AutoScalingGroupName": "group",
                "AutoScalingGroupARN": "arn:aws:autoscaling:eu-west-1:222222222222:autoScalingGroup:0:autoScalingGroupName/group",
                "LaunchConfigurationName": "configuration",
                "MinSize": 0,
                "MaxSize": 1,
                "DesiredCapacity": 1,
            }
        ]
    },
    "DescribeLaunchConfigurations": {
        "LaunchConfigurations": [
            {"LaunchConfigurationName": "configuration", "ImageId": "ami-00000001", "InstanceType": "t3.micro"}
        ]
    },
    "DescribeFleets": {"Fleets": [{"FleetId": FLEET, "Type": "maintain", "LaunchTemplateConfigs": _CONFIGS}]},
    "DescribeSpotFleetRequests": {
        "SpotFleetRequestConfigs": [
            {"SpotFleetRequestId": SPOT_FLEET, "SpotFleetRequestConfig": {"LaunchTemplateConfigs": _CONFIGS}}
        ]
    },
    "DescribeNodegroup": {"nodegroup": {"nodegroupName": "nodes", "launchTemplate": {"id": "lt-00000001"}}},
    "DescribeComputeEnvironments": {"computeEnvironments": []},
    "DescribeLaunchTemplates": {
        "LaunchTemplates": [{**_TEMPLATE, "DefaultVersionNumber": 1, "LatestVersionNumber": 1}]
    },
    "DescribeLaunchTemplateVersions": {
        "LaunchTemplateVersions": [{**_TEMPLATE, "VersionNumber": 1, "LaunchTemplateData": {"ImageId": "ami-00000001"}}]
    },
    "DescribeImages": {"Images": [{"ImageId": "ami-00000001", "OwnerId": "222222222222"}]},
    "GetInstanceMetadataDefaults": {"AccountLevel": {"HttpTokens": "no-preference"}},
    "ModifyImageAttribute": {},
    "ModifyInstanceMetadataDefaults": {"Return": True},
    "ListInventoryEntries": {"Entries": [{"Name": "amazon-ssm-agent", "Version": "3.3.40.0", "PlatformType": "Linux"}]},
    "LookupEvents": {"Events": [{"EventName": "RunInstances", "Username": "ada"}]},
}
"""AWS's answers, by operation."""
