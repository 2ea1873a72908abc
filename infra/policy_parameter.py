"""The policy parameter, which changes the service's behaviour without a deployment."""

from __future__ import annotations

from aws_cdk import aws_iam, aws_ssm
from constructs import Construct

from infra.names import POLICY_PARAMETER


class PolicyParameter(Construct):
    """Created from the settings; a deployment writes it again only if the settings have changed."""

    def __init__(self, scope: Construct, id_: str, *, document: str) -> None:
        super().__init__(scope, id_)
        self.parameter = aws_ssm.StringParameter(
            self,
            "Parameter",
            parameter_name=POLICY_PARAMETER,
            string_value=document,
            description="Policy of imdsv2-remediation (JSON); a change is live within a minute",
        )

    def grant_read(self, role: aws_iam.IGrantable) -> None:
        """Allow reading it. CDK's own grant would add more actions."""
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[self.parameter.parameter_arn])
        )
