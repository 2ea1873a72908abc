"""The policy parameter: the switch that works without a deploy."""

from __future__ import annotations

from aws_cdk import aws_iam, aws_ssm
from constructs import Construct

from infra.names import POLICY_PARAMETER


class PolicyParameter(Construct):
    """First written from the settings; a deploy writes it again only if the settings have changed."""

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
        """Read it, and nothing else that CDK's own grant would add."""
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[self.parameter.parameter_arn])
        )
