"""The Security Hub custom action "Require IMDSv2", which CloudFormation has no resource type for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aws_cdk import Aws, CustomResource, Duration, RemovalPolicy, aws_iam
from constructs import Construct

from infra.function_schedule import FunctionSchedule

if TYPE_CHECKING:
    from infra.functions import ServiceFunction
    from infra.names import Names

RESOURCE_TYPE = "Custom::SecurityHubActionTarget"


class CustomAction(Construct):
    """An action target in this Region, created and maintained by a function: with every release, and every day."""

    def __init__(self, scope: Construct, id_: str, *, function: ServiceFunction, release: str, names: Names) -> None:
        """`release` changes with the code, so that every release checks the action and creates it again if it is
        missing.

        The daily look creates it in an account that enabled Security Hub after the deployment, and tells if findings are
        aggregated in another Region.
        """
        super().__init__(scope, id_)
        allowed = self._allow(function)
        action = {
            "ActionId": names.custom_action_id,
            "Name": names.custom_action_name,
            "Description": "Require IMDSv2 on the instance, under the same policy and gates as everything else",
        }
        self.resource = CustomResource(
            self,
            "ActionTarget",
            resource_type=RESOURCE_TYPE,
            service_token=function.function.function_arn,
            service_timeout=Duration.minutes(5),
            removal_policy=RemovalPolicy.DESTROY,
            properties={**action, "Release": release},
        )
        self.resource.node.add_dependency(allowed)
        self.note = self.resource.get_att_string("Note")
        FunctionSchedule(
            self,
            "Schedule",
            function=function,
            rate="rate(1 day)",
            description="Keep the custom action of Security Hub",
            names=names,
            payload=json.dumps({"keep": action}),
            only_scheduled=False,
        )

    def _allow(self, function: ServiceFunction) -> aws_iam.Policy:
        """Keep the action, and find out where findings are aggregated."""
        hub = f"arn:{Aws.PARTITION}:securityhub:{Aws.REGION}:{Aws.ACCOUNT_ID}:hub/default"
        return aws_iam.Policy(
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
                ),
                # They know no resources in IAM.
                aws_iam.PolicyStatement(
                    actions=["securityhub:ListAggregatorsV2", "securityhub:ListFindingAggregators"], resources=["*"]
                ),
            ],
        )
