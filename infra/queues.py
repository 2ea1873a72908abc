"""Where findings wait, and where what failed is kept until a person has looked."""

from __future__ import annotations

from aws_cdk import Duration, aws_iam, aws_kms, aws_sqs
from constructs import Construct

ATTEMPTS = 5
"""Deliveries of a message before it is set aside."""

DEAD_LETTER_RETENTION = Duration.days(14)


class FindingsQueue(Construct):
    """Every way in ends here. What five attempts, or a rule, could not deliver ends in its dead-letter queue."""

    def __init__(self, scope: Construct, id_: str, *, key: aws_kms.IKey, visibility_timeout: Duration) -> None:
        super().__init__(scope, id_)
        self.dead_letters = dead_letter_queue(self, "DeadLetters", key=key)
        self.queue = aws_sqs.Queue(
            self,
            "Queue",
            encryption_master_key=key,
            enforce_ssl=True,
            visibility_timeout=visibility_timeout,
            retention_period=Duration.days(4),
            dead_letter_queue=aws_sqs.DeadLetterQueue(max_receive_count=ATTEMPTS, queue=self.dead_letters),
        )

    def grant_setting_aside(self, role: aws_iam.IGrantable) -> None:
        """Put a message that nothing can be done with beside those that failed."""
        _grant_send(self.dead_letters, role)


class FailedInvocations(Construct):
    """Keeps the input of asynchronous invocations and scheduled starts that failed to the end."""

    def __init__(self, scope: Construct, id_: str, *, key: aws_kms.IKey) -> None:
        super().__init__(scope, id_)
        self.queue = dead_letter_queue(self, "Queue", key=key)

    def grant_setting_aside(self, role: aws_iam.IGrantable) -> None:
        """Leave the input of a start that failed here."""
        _grant_send(self.queue, role)


def dead_letter_queue(scope: Construct, id_: str, *, key: aws_kms.IKey) -> aws_sqs.Queue:
    """An encrypted queue that keeps messages as long as SQS can."""
    return aws_sqs.Queue(
        scope, id_, encryption_master_key=key, enforce_ssl=True, retention_period=DEAD_LETTER_RETENTION
    )


def _grant_send(queue: aws_sqs.IQueue, role: aws_iam.IGrantable) -> None:
    """Send, and no more; the use of the key is granted beside it."""
    role.grant_principal.add_to_principal_policy(
        aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[queue.queue_arn])
    )
