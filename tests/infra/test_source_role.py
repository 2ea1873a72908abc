"""The role that changes sources can do that and nothing else, as evaluated by a third-party IAM evaluator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.templates import MEMBER_ACCOUNT, REGION
from tests.infra.test_permissions import (
    INSTANCE,
    SOURCE,
    STRANGER,
    calls_on_sources,
    in_account,
    judged,
    names_of,
    role_arn,
)

if TYPE_CHECKING:
    from tests.infra.templates import Template

MARKED = {"aws:ResourceTag/imdsv2:fixed-at": "2026-11-20T12:00:00Z"}
NAMED = {"autoscaling:LaunchTemplateVersionSpecified": "true"}
OWNERS = (
    "aws:cloudformation:stack-name",
    "eks:cluster-name",
    "eks:nodegroup-name",
    "elasticbeanstalk:environment-name",
    "AWSBatchServiceTag",
    "karpenter.sh/nodepool",
)


@pytest.mark.parametrize("stack", ["template", "member_template"])
def test_what_it_is_for_is_allowed(stack: str, request: pytest.FixtureRequest) -> None:
    """In members and in the security account itself."""
    assert [] == names_of(judged(calls_on_sources(request.getfixturevalue(stack))), allowed=False)


@pytest.mark.parametrize("stack", ["template", "member_template"])
def test_nothing_else_is(stack: str, request: pytest.FixtureRequest) -> None:
    """Regardless of a mistake in the function, or an intruder who controls it."""
    roles: Template = request.getfixturevalue(stack)
    account = roles.account
    template = f"arn:aws:ec2:{REGION}:{account}:launch-template/lt-0123456789abcdef0"
    group = f"arn:aws:autoscaling:{REGION}:{account}:autoScalingGroup:0a1b2c3d:autoScalingGroupName/web"
    instance = INSTANCE.replace(MEMBER_ACCOUNT, account)
    make, modify, point = (
        "ec2:CreateLaunchTemplateVersion",
        "ec2:ModifyLaunchTemplate",
        "autoscaling:UpdateAutoScalingGroup",
    )
    attempts: list[tuple[str, str, str, dict[str, Any]]] = [
        ("a version of a template without the tag", make, template, {}),
        ("a default of a template without the tag", modify, template, {}),
        ("a template with another tag", make, template, {"aws:ResourceTag/owner": "team"}),
        ("a template of another account", make, template.replace(account, STRANGER), MARKED),
        ("a group of another account", point, group.replace(account, STRANGER), NAMED),
        ("no version named", point, group, {"autoscaling:LaunchTemplateVersionSpecified": "false"}),
        ("smallest size beside", point, group, {**NAMED, "autoscaling:MinSize": "3"}),
        ("largest size beside", point, group, {**NAMED, "autoscaling:MaxSize": "3"}),
        ("networks beside", point, group, {**NAMED, "autoscaling:VPCZoneIdentifiers": ["subnet-1"]}),
        ("launch configuration", point, group, {"autoscaling:LaunchConfigurationName": "web"}),
        ("another tag", "ec2:CreateTags", template, {"aws:TagKeys": ["owner"]}),
        ("another tag beside", "ec2:CreateTags", template, {"aws:TagKeys": ["imdsv2:fixed-at", "owner"]}),
        ("the tag away", "ec2:DeleteTags", template, {"aws:TagKeys": ["imdsv2:fixed-at"]}),
        ("tag an instance", "ec2:CreateTags", instance, {"aws:TagKeys": ["imdsv2:fixed-at"]}),
        ("delete versions", "ec2:DeleteLaunchTemplateVersions", template, MARKED),
        ("delete a template", "ec2:DeleteLaunchTemplate", template, MARKED),
        ("launch by itself", "ec2:RunInstances", instance, {}),
        ("launch, said to be by itself", "ec2:RunInstances", instance, {"aws:ViaAWSService": "false"}),
        (
            "pass a role by itself",
            "iam:PassRole",
            role_arn("web", account),
            {"iam:PassedToService": "ec2.amazonaws.com"},
        ),
        ("refresh instances", "autoscaling:StartInstanceRefresh", group, {}),
        ("end instances", "autoscaling:TerminateInstanceInAutoScalingGroup", group, {}),
        ("change an instance", "ec2:ModifyInstanceMetadataOptions", instance, {"ec2:Attribute/HttpTokens": "required"}),
        ("look around", "ec2:DescribeInstances", "*", {}),
        *((f"a template of {tag}", make, template, {**MARKED, f"aws:ResourceTag/{tag}": "x"}) for tag in OWNERS),
        *((f"a default of {tag}", modify, template, {**MARKED, f"aws:ResourceTag/{tag}": "x"}) for tag in OWNERS),
        *((f"a group of {tag}", point, group, {**NAMED, f"aws:ResourceTag/{tag}": "x"}) for tag in OWNERS),
    ]
    requests = {
        name: in_account(roles, SOURCE, action, resource, context) for name, action, resource, context in attempts
    }
    assert len(attempts) == len(requests)
    assert [] == names_of(judged(requests), allowed=True)
