"""The policy parameter, which changes the service's behaviour without a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, CustomResource, Duration, RemovalPolicy, aws_iam
from constructs import Construct

if TYPE_CHECKING:
    from infra.functions import ServiceFunction
    from infra.names import Names

RESOURCE_TYPE = "Custom::FirstPolicy"


class PolicyParameter(Construct):
    """People own the parameter: it is no resource of the stack, which would write over what they changed.

    A function creates it from the settings if it does not exist, and says how the settings differ from it if it does.
    It stays when the stack is deleted.
    """

    def __init__(self, scope: Construct, id_: str, *, names: Names) -> None:
        super().__init__(scope, id_)
        self.name = names.policy_parameter
        self.arn = f"arn:{Aws.PARTITION}:ssm:{Aws.REGION}:{Aws.ACCOUNT_ID}:parameter{self.name}"

    def create_with(self, function: ServiceFunction, *, document: str, release: str) -> str:
        """Have the function create it. Returns what it said, for the stack's outputs.

        It is asked again when the settings' policy or the code changes: `release` changes with the code.
        """
        allowed = aws_iam.Policy(
            self,
            "Policy",
            roles=[function.role],
            statements=[
                aws_iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[self.arn]),
                aws_iam.PolicyStatement(
                    sid="OnlyTheFirst",
                    actions=["ssm:PutParameter"],
                    resources=[self.arn],
                    conditions={"StringEquals": {"ssm:Overwrite": "false"}},
                ),
            ],
        )
        first = CustomResource(
            self,
            "First",
            resource_type=RESOURCE_TYPE,
            service_token=function.function.function_arn,
            service_timeout=Duration.minutes(5),
            removal_policy=RemovalPolicy.DESTROY,
            properties={"Name": self.name, "Document": document, "Release": release},
        )
        first.node.add_dependency(allowed)
        return first.get_att_string("Note")

    def grant_read(self, role: aws_iam.IGrantable) -> None:
        """Allow reading it."""
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[self.arn])
        )

    def grant_history(self, role: aws_iam.IGrantable) -> None:
        """Allow reading who has written it, and what was written before."""
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(actions=["ssm:GetParameterHistory"], resources=[self.arn])
        )
