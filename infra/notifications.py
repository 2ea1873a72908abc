"""The topic that notifies people of changes and alarms."""

from __future__ import annotations

from aws_cdk import Aws, aws_iam, aws_kms, aws_sns, aws_sns_subscriptions
from constructs import Construct


class Notifications(Construct):
    """One encrypted topic, for the service's changes and its alarms."""

    def __init__(self, scope: Construct, id_: str, *, key: aws_kms.IKey, email: str | None) -> None:
        super().__init__(scope, id_)
        self.topic = aws_sns.Topic(self, "Topic", display_name="IMDSv2 remediation", master_key=key, enforce_ssl=True)
        # A topic with its own policy lacks the default policy, and with it CloudWatch's permission to publish.
        self.topic.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="Alarms",
                principals=[aws_iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm:*"
                    },
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                },
            )
        )
        if email is not None:
            self.topic.add_subscription(aws_sns_subscriptions.EmailSubscription(email))

    def grant_publish(self, role: aws_iam.IGrantable) -> None:
        """Allow publishing; the use of the key is granted separately."""
        role.grant_principal.add_to_principal_policy(
            aws_iam.PolicyStatement(actions=["sns:Publish"], resources=[self.topic.topic_arn])
        )
