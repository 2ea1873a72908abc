"""The key that encrypts queue, topic and ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, RemovalPolicy, aws_iam, aws_kms
from constructs import Construct

if TYPE_CHECKING:
    from infra.names import Names

USE_OF_KEY = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
"""The operations that DynamoDB, SQS and SNS perform with the key on behalf of a caller."""


class ServiceKey(Construct):
    """A customer-managed key that EventBridge and CloudWatch may also use. Without this, their deliveries fail
    silently."""

    def __init__(self, scope: Construct, id_: str, *, names: Names) -> None:
        super().__init__(scope, id_)
        self.key = aws_kms.Key(
            self,
            "Key",
            alias=f"alias/{names.prefix}",
            description="Findings, notifications and ledger of imdsv2-remediation",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        # No condition: AWS documents none that both services are known to send when they use a key, and one that is
        # missing would lose every event and every alarm without a trace. Who may deliver stands in the policies of
        # queues and topic, which name our rules, our alarms and this account; the key alone gives access to nothing.
        for service in ("events.amazonaws.com", "cloudwatch.amazonaws.com"):
            self.key.add_to_resource_policy(
                aws_iam.PolicyStatement(
                    sid=f"Deliver{service.split('.')[0].capitalize()}",
                    principals=[aws_iam.ServicePrincipal(service)],
                    actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                    resources=["*"],
                )
            )

    def grant_use_through(self, role: aws_iam.IGrantable, *services: str) -> None:
        """Let a role use the key, but only through the named services, e.g. `sqs`."""
        # The value ends with `.amazonaws.com` in every partition, China included (AWS KMS, condition keys).
        via: dict[str, Any] = {"kms:ViaService": [f"{service}.{Aws.REGION}.amazonaws.com" for service in services]}
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(
                actions=list(USE_OF_KEY), resources=[self.key.key_arn], conditions={"StringEquals": via}
            )
        )
