"""The Security Hub custom action "Require IMDSv2", which CloudFormation has no resource type for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, CustomResource, Duration, RemovalPolicy, aws_iam
from constructs import Construct

from infra.names import CUSTOM_ACTION_ID

if TYPE_CHECKING:
    from infra.functions import ServiceFunction

RESOURCE_TYPE = "Custom::SecurityHubActionTarget"


class CustomAction(Construct):
    """An action target in this Region, created and maintained by a function."""

    def __init__(self, scope: Construct, id_: str, *, function: ServiceFunction, release: str) -> None:
        """`release` changes with the code, so that every release checks the action and creates it again if it is
        missing.

        This also creates the action in an account that enabled Security Hub only after the first deployment.
        """
        super().__init__(scope, id_)
        hub = f"arn:{Aws.PARTITION}:securityhub:{Aws.REGION}:{Aws.ACCOUNT_ID}:hub/default"
        allowed = aws_iam.Policy(
            self,
            "Policy",
            roles=[function.role],
            statements=[
                aws_iam.PolicyStatement(
                    actions=[
                        "securityhub:CreateActionTarget",
                        "securityhub:UpdateActionTarget",
                        "securityhub:DeleteActionTarget",
                    ],
                    resources=[hub],
                )
            ],
        )
        self.resource = CustomResource(
            self,
            "ActionTarget",
            resource_type=RESOURCE_TYPE,
            service_token=function.function.function_arn,
            service_timeout=Duration.minutes(5),
            removal_policy=RemovalPolicy.DESTROY,
            properties={
                "ActionId": CUSTOM_ACTION_ID,
                "Name": "Require IMDSv2",
                "Description": "Require IMDSv2 on the instance, under the same policy and gates as everything else",
                "Release": release,
            },
        )
        self.resource.node.add_dependency(allowed)
