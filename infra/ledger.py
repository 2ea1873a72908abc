"""The ledger: the verdict on every instance, and what is due for re-evaluation."""

from __future__ import annotations

from aws_cdk import RemovalPolicy, aws_dynamodb, aws_iam, aws_kms
from constructs import Construct

DUE_INDEX = "due"
ENFORCED_INDEX = "enforced"
TRAIL_INDEX = "trail"


class Ledger(Construct):
    """One item group per instance; an index of due instances, spread over shards; and an index of enforced instances,
    by account.

    The second index carries the few attributes by which the guard sorts what it watches. The guard reads all of it at
    every pass; without these attributes it would fetch every item whole, only to find that most need no action yet.
    """

    def __init__(self, scope: Construct, id_: str, *, key: aws_kms.IKey) -> None:
        super().__init__(scope, id_)
        self.table = aws_dynamodb.Table(
            self,
            "Table",
            partition_key=aws_dynamodb.Attribute(name="pk", type=aws_dynamodb.AttributeType.STRING),
            sort_key=aws_dynamodb.Attribute(name="sk", type=aws_dynamodb.AttributeType.STRING),
            billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=aws_dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            # The ledger records every instance's state before the change, so it outlives the stack and mistakes of
            # people; but what a failed first deployment made is nobody's ledger.
            deletion_protection=True,
            stream=aws_dynamodb.StreamViewType.NEW_IMAGE,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        self.table.add_global_secondary_index(
            index_name=DUE_INDEX,
            partition_key=aws_dynamodb.Attribute(name="revisit_shard", type=aws_dynamodb.AttributeType.NUMBER),
            sort_key=aws_dynamodb.Attribute(name="revisit_at", type=aws_dynamodb.AttributeType.STRING),
            projection_type=aws_dynamodb.ProjectionType.KEYS_ONLY,
        )
        self.table.add_global_secondary_index(
            index_name=ENFORCED_INDEX,
            partition_key=aws_dynamodb.Attribute(name="enforced_in", type=aws_dynamodb.AttributeType.STRING),
            sort_key=aws_dynamodb.Attribute(name="enforced_key", type=aws_dynamodb.AttributeType.STRING),
            projection_type=aws_dynamodb.ProjectionType.INCLUDE,
            non_key_attributes=["status", "enforced_at", "restarted_at", "cohort", "undo", "broken_at"],
        )

        # Only events bear the attribute: the audit trail by day, without a look at anything else.
        self.table.add_global_secondary_index(
            index_name=TRAIL_INDEX,
            partition_key=aws_dynamodb.Attribute(name="trail_day", type=aws_dynamodb.AttributeType.STRING),
            sort_key=aws_dynamodb.Attribute(name="sk", type=aws_dynamodb.AttributeType.STRING),
            projection_type=aws_dynamodb.ProjectionType.ALL,
        )

    def grant_records(self, role: aws_iam.IGrantable) -> None:
        """Read and write items, but not delete them: the ledger keeps everything."""
        self._grant(
            role,
            self.table.table_arn,
            "dynamodb:BatchGetItem",
            "dynamodb:ConditionCheckItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        )

    def grant_due(self, role: aws_iam.IGrantable) -> None:
        """Query the index of due instances."""
        self._grant_index(role, DUE_INDEX)

    def grant_enforced(self, role: aws_iam.IGrantable) -> None:
        """Query the index of instances enforced in an account."""
        self._grant_index(role, ENFORCED_INDEX)

    def grant_trail(self, role: aws_iam.IGrantable) -> None:
        """Query the index of the audit trail."""
        self._grant_index(role, TRAIL_INDEX)

    def _grant_index(self, role: aws_iam.IGrantable, index: str) -> None:
        self._grant(role, f"{self.table.table_arn}/index/{index}", "dynamodb:Query")

    @staticmethod
    def _grant(role: aws_iam.IGrantable, resource: str, *actions: str) -> None:
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(actions=list(actions), resources=[resource])
        )
