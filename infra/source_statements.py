"""What the role that changes sources may do in an account: make versions of launch templates that bear its tag, move their default, and
point groups to them. Nothing of an instance, no other setting of a group, nothing that CloudFormation or an AWS service owns."""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws, aws_iam

from imdsv2.domain.source_fix import FIXED_TAG

_OWNED_BY = (
    "aws:cloudformation:stack-name",
    "eks:cluster-name",
    "eks:nodegroup-name",
    "elasticbeanstalk:environment-name",
    "AWSBatchServiceTag",
    "karpenter.sh/nodepool",
)
"""Tags with which somebody else's tool marks templates and groups as its own. Terraform sets none of its own."""
_EC2 = "ec2.amazonaws.com*"
"""EC2 as a service. Its name does not end like hosts of its partition do: China adds `.cn`, and the sovereign cloud's hosts end with
`amazonaws.eu`, but not its services."""
_OTHER_SETTINGS = {
    "SmallestSize": "autoscaling:MinSize",
    "LargestSize": "autoscaling:MaxSize",
    "Networks": "autoscaling:VPCZoneIdentifiers",
    "LaunchConfiguration": "autoscaling:LaunchConfigurationName",
}
"""Settings of a group that Auto Scaling shows as keys where a call changes them. It shows none for desired capacity and health checks."""


def source_statements() -> list[aws_iam.PolicyStatement]:
    """IAM knows no key for what a version of a launch template holds, nor for its number: the service compares each version with its
    base before anything points to it. Where EC2 sends no tag of the resource, the Allow does not apply, and nothing is changed."""
    template = f"arn:{Aws.PARTITION}:ec2:*:{Aws.ACCOUNT_ID}:launch-template/*"
    group = f"arn:{Aws.PARTITION}:autoscaling:*:{Aws.ACCOUNT_ID}:autoScalingGroup:*:autoScalingGroupName/*"
    change_template = ["ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate"]
    point = ["autoscaling:UpdateAutoScalingGroup"]
    return [
        _allow(
            "MarkTemplates",
            ["ec2:CreateTags"],
            [template],
            # ForAllValues also matches if there are no keys at all; therefore Null.
            {"ForAllValues:StringEquals": {"aws:TagKeys": [FIXED_TAG]}, "Null": {"aws:TagKeys": "false"}},
        ),
        _allow(
            "ChangeMarkedTemplates", change_template, [template], {"Null": {f"aws:ResourceTag/{FIXED_TAG}": "false"}}
        ),
        _allow("PointGroups", point, [group], {"BoolIfExists": {"autoscaling:LaunchTemplateVersionSpecified": "true"}}),
        *(_never(f"Change{what}", point, [group], {key: "false"}) for what, key in _OTHER_SETTINGS.items()),
        *(
            _never(
                f"TouchWhatIsOwned{number}",
                [*change_template, *point],
                [template, group],
                {f"aws:ResourceTag/{tag}": "false"},
            )
            for number, tag in enumerate(_OWNED_BY, 1)
        ),
        # Auto Scaling asks EC2, in the caller's name and as a dry run, whether the caller may launch from the template. By itself the
        # role can launch nothing, and pass no role.
        _allow(
            "LetAutoScalingTryTemplates",
            ["ec2:RunInstances", "ec2:CreateTags"],
            ["*"],
            {"Bool": {"aws:ViaAWSService": "true"}},
        ),
        _allow(
            "LetAutoScalingTryProfiles",
            ["iam:PassRole"],
            [f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/*"],
            {"Bool": {"aws:ViaAWSService": "true"}, "StringLike": {"iam:PassedToService": _EC2}},
        ),
    ]


def _allow(sid: str, actions: list[str], resources: list[str], conditions: dict[str, Any]) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(sid=sid, actions=actions, resources=resources, conditions=conditions)


def _never(sid: str, actions: list[str], resources: list[str], null: dict[str, str]) -> aws_iam.PolicyStatement:
    """Denied where a key is there at all."""
    return aws_iam.PolicyStatement(
        sid=f"Never{sid}", effect=aws_iam.Effect.DENY, actions=actions, resources=resources, conditions={"Null": null}
    )
