"""The queues: waiting findings, and dead-letter queues that keep failures until a person has reviewed them."""

from __future__ import annotations

from aws_cdk import Duration, Names, aws_iam, aws_kms, aws_lambda, aws_sqs
from constructs import Construct

ATTEMPTS = 5
"""Deliveries of a message before it goes to the dead-letter queue."""

BATCH_SIZE = 500
BATCH_SIZE_WITHOUT_WINDOW = 10
"""The most that Lambda accepts at once without a batching window."""

DEAD_LETTER_RETENTION = Duration.days(14)

CONSUMING = (
    "sqs:ReceiveMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:GetQueueUrl",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
)
"""What Lambda does with the queue, by the function's role."""


class FindingsQueue(Construct):
    """Every way in ends in this queue. What fails five times, or a rule cannot deliver, goes to its dead-letter
    queue."""

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

    def feed(self, function: aws_lambda.Function, *, window_seconds: int, at_once: int) -> None:
        """Invoke a function with batches. ``at_once``: invocations at the same time, enough for a storm of findings and
        few enough not to be throttled by EC2, CloudWatch and Lambda. The use of the key is granted separately."""
        # Not as an SqsEventSource, which would let the function decrypt with the key in any other way, too.
        function.add_event_source_mapping(
            f"SqsEventSource:{Names.node_unique_id(self.queue.node)}",
            event_source_arn=self.queue.queue_arn,
            batch_size=BATCH_SIZE if window_seconds else BATCH_SIZE_WITHOUT_WINDOW,
            max_batching_window=Duration.seconds(window_seconds),
            max_concurrency=at_once,
            report_batch_item_failures=True,
        )
        self.queue.grant(function, *CONSUMING)

    def grant_setting_aside(self, role: aws_iam.IGrantable) -> None:
        """Put a message that cannot be processed into the dead-letter queue."""
        _grant_send(self.dead_letters, role)


class FailedInvocations(Construct):
    """Keeps the input of asynchronous invocations and scheduled starts that failed on every retry."""

    def __init__(self, scope: Construct, id_: str, *, key: aws_kms.IKey) -> None:
        super().__init__(scope, id_)
        self.queue = dead_letter_queue(self, "Queue", key=key)

    def grant_setting_aside(self, role: aws_iam.IGrantable) -> None:
        """Put the input of a failed invocation into this queue."""
        _grant_send(self.queue, role)


def dead_letter_queue(scope: Construct, id_: str, *, key: aws_kms.IKey) -> aws_sqs.Queue:
    """An encrypted queue that keeps messages for the maximum retention of SQS."""
    return aws_sqs.Queue(
        scope, id_, encryption_master_key=key, enforce_ssl=True, retention_period=DEAD_LETTER_RETENTION
    )


def _grant_send(queue: aws_sqs.IQueue, role: aws_iam.IGrantable) -> None:
    """Allow sending only; the use of the key is granted separately."""
    role.grant_principal.add_to_principal_policy(
        aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[queue.queue_arn])
    )
