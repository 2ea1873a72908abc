"""The two roles through which the service looks at an account and changes instances there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, Fn, aws_iam
from constructs import Construct

from infra.nag import acknowledge
from infra.names import (
    ENFORCED_AT_TAG,
    ENTERED_BY,
    READ_ROLE,
    ROLLED_BACK_AT_TAG,
    WRITE_ROLE,
    function_role_name,
)

if TYPE_CHECKING:
    from aws_cdk import CfnCondition


class MemberRoles(Construct):
    """The same in every account, the security account included: there is one path to any instance."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        security_account: str,
        organization_id: str | None,
        only_if: CfnCondition | None = None,
    ) -> None:
        """`only_if` tells at deployment whether the organisation counts, where that is not known before."""
        super().__init__(scope, id_)
        self.read = aws_iam.Role(
            self,
            "Read",
            role_name=READ_ROLE,
            description="imdsv2-remediation: look at instances and their metrics",
            assumed_by=_functions_that_enter(READ_ROLE, security_account, organization_id, only_if),
        )
        self.read.add_to_policy(
            aws_iam.PolicyStatement(
                actions=["ec2:DescribeInstances", "ec2:DescribeRegions", "cloudwatch:GetMetricData"],
                resources=["*"],
            )
        )
        acknowledge(
            self.read,
            "AwsSolutions-IAM5[Resource::*]",
            "DescribeInstances, DescribeRegions and GetMetricData know no resources in IAM.",
        )
        self.write = aws_iam.Role(
            self,
            "Write",
            role_name=WRITE_ROLE,
            description="imdsv2-remediation: require IMDSv2, and tag what was changed",
            assumed_by=_functions_that_enter(WRITE_ROLE, security_account, organization_id, only_if),
        )
        for statement in _write_statements():
            self.write.add_to_policy(statement)
        acknowledge(
            self.write,
            "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ec2:*:<AWS::AccountId>:instance/*]",
            "Any instance of the account, in any Region; which ones, policy and evidence decide.",
        )


def _functions_that_enter(
    role: str, security_account: str, organization_id: str | None, only_if: CfnCondition | None
) -> aws_iam.PrincipalBase:
    """The functions' roles by name: a role ARN as principal would break when the role is made anew."""
    roles = f"arn:{Aws.PARTITION}:iam::{security_account}:role/"
    conditions: dict[str, Any] = {
        "ArnEquals": {"aws:PrincipalArn": [roles + function_role_name(each) for each in ENTERED_BY[role]]}
    }
    if organization_id is not None:
        inside = {"aws:PrincipalOrgID": organization_id}
        conditions["StringEquals"] = (
            inside if only_if is None else Fn.condition_if(only_if.logical_id, inside, Aws.NO_VALUE)
        )
    return aws_iam.AccountPrincipal(security_account).with_conditions(conditions)


def _write_statements() -> list[aws_iam.PolicyStatement]:
    instances = [f"arn:{Aws.PARTITION}:ec2:*:{Aws.ACCOUNT_ID}:instance/*"]
    change = ["ec2:ModifyInstanceMetadataOptions"]
    return [
        aws_iam.PolicyStatement(
            sid="RequireTokens",
            actions=change,
            resources=instances,
            conditions={"StringEquals": {"ec2:Attribute/HttpTokens": "required"}},
        ),
        # What follows is denied, not left out of the Allow: should EC2 not send one of these keys, the service's own
        # checks stand alone, but it still works.
        aws_iam.PolicyStatement(
            sid="NeverOpenAClosedEndpoint",
            effect=aws_iam.Effect.DENY,
            actions=change,
            resources=instances,
            conditions={"StringEquals": {"ec2:MetadataHttpEndpoint": "disabled"}},
        ),
        aws_iam.PolicyStatement(
            sid="NeverCloseAnEndpoint",
            effect=aws_iam.Effect.DENY,
            actions=change,
            resources=instances,
            conditions={"StringEquals": {"ec2:Attribute/HttpEndpoint": "disabled"}},
        ),
        aws_iam.PolicyStatement(
            sid="NeverTouchAnotherOption",
            effect=aws_iam.Effect.DENY,
            actions=change,
            resources=instances,
            conditions={
                "ForAnyValue:StringEquals": {
                    "ec2:Attribute": ["HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags"]
                }
            },
        ),
        # ForAllValues also holds for no keys at all, and DeleteTags without keys deletes every tag: hence Null.
        aws_iam.PolicyStatement(
            sid="MarkWhatWasChanged",
            actions=["ec2:CreateTags", "ec2:DeleteTags"],
            resources=instances,
            conditions={
                "ForAllValues:StringEquals": {"aws:TagKeys": [ENFORCED_AT_TAG, ROLLED_BACK_AT_TAG]},
                "Null": {"aws:TagKeys": "false"},
            },
        ),
    ]
