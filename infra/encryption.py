"""The key that encrypts queue, topic and ledger."""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws, aws_iam, aws_kms
from constructs import Construct

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

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_)
        self.key = aws_kms.Key(
            self,
            "Key",
            alias="alias/imdsv2-remediation",
            description="Findings, notifications and ledger of imdsv2-remediation",
            enable_key_rotation=True,
        )
        # The condition names the account, not the ARN of each rule and alarm: those refer to queue and topic, which
        # refer to this key, and the reference would be circular. The policies of queue and topic do name rules and
        # alarms.
        for service in ("events.amazonaws.com", "cloudwatch.amazonaws.com"):
            self.key.add_to_resource_policy(
                aws_iam.PolicyStatement(
                    sid=f"Deliver{service.split('.')[0].capitalize()}",
                    principals=[aws_iam.ServicePrincipal(service)],
                    actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                    resources=["*"],
                    conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
                )
            )

    def grant_use_through(self, role: aws_iam.IGrantable, *services: str) -> None:
        """Let a role use the key, but only through the named services, e.g. `sqs`."""
        via: dict[str, Any] = {"kms:ViaService": [f"{service}.{Aws.REGION}.{Aws.URL_SUFFIX}" for service in services]}
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(
                actions=list(USE_OF_KEY), resources=[self.key.key_arn], conditions={"StringEquals": via}
            )
        )
