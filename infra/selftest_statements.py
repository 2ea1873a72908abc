"""What the role of the self-test may do in an account: launch small instances with its tag, and act on these alone."""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws, aws_iam

from imdsv2.selftest.order import SELFTEST_TAG

INSTANCE_TYPE = "t4g.nano"
LARGEST_VOLUME_GIB = 16
IMAGE_PARAMETERS = "aws/service/ami-amazon-linux-latest/*"


def selftest_statements() -> list[aws_iam.PolicyStatement]:
    """It can attach no instance profile (there is no iam:PassRole), and tag nothing but what it launches."""
    return [*_launching(), *_acting()]


def _launching() -> list[aws_iam.PolicyStatement]:
    tagged_request = {"Null": {f"aws:RequestTag/{SELFTEST_TAG}": "false"}}
    small: dict[str, Any] = {"StringEquals": {"ec2:InstanceType": INSTANCE_TYPE}, **tagged_request}
    small_volume: dict[str, Any] = {"NumericLessThanEquals": {"ec2:VolumeSize": LARGEST_VOLUME_GIB}, **tagged_request}
    launch = ["ec2:RunInstances"]
    return [
        _statement("LaunchSmallInstances", launch, [_own("instance")], small),
        _statement("WithSmallVolumes", launch, [_own("volume")], small_volume),
        _statement("InNetworks", launch, [_own(kind) for kind in ("network-interface", "security-group", "subnet")]),
        _statement(
            "OfImagesOfAmazon",
            launch,
            [f"arn:{Aws.PARTITION}:ec2:*::image/*"],
            {"StringEquals": {"ec2:Owner": "amazon"}},
        ),
        _statement(
            "TagWhatItLaunches",
            ["ec2:CreateTags"],
            [_own("instance"), _own("volume")],
            {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
        ),
    ]


def _acting() -> list[aws_iam.PolicyStatement]:
    ours = {"Null": {f"aws:ResourceTag/{SELFTEST_TAG}": "false"}}
    return [
        _statement(
            "ActOnItsInstances",
            [
                "ec2:GetConsoleOutput",
                "ec2:ModifyInstanceMetadataOptions",
                "ec2:RebootInstances",
                "ec2:StartInstances",
                "ec2:StopInstances",
                "ec2:TerminateInstances",
            ],
            [_own("instance")],
            ours,
        ),
        _statement("FindTheImage", ["ssm:GetParameter"], [f"arn:{Aws.PARTITION}:ssm:*:*:parameter/{IMAGE_PARAMETERS}"]),
        _statement(
            "Look",
            [
                "ec2:DescribeInstances",
                "cloudwatch:GetMetricData",
                "cloudwatch:ListMetrics",
                "cloudtrail:LookupEvents",
                "config:DescribeConfigRules",
                "config:DescribeConfigurationRecorderStatus",
                "config:DescribeConfigurationRecorders",
                "securityhub:DescribeHub",
                "securityhub:DescribeSecurityHubV2",
            ],
            ["*"],
        ),
    ]


def _own(kind: str) -> str:
    return f"arn:{Aws.PARTITION}:ec2:*:{Aws.ACCOUNT_ID}:{kind}/*"


def _statement(
    sid: str, actions: list[str], resources: list[str], conditions: dict[str, Any] | None = None
) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(sid=sid, actions=actions, resources=resources, conditions=conditions)
