"""The notifications topic. IAM: ``sns:Publish`` on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

    from imdsv2.domain.message import Message

_SUBJECT_LENGTH = 100
"""Maximum length in characters (SNS API reference: fewer than 100, ASCII, one line)."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Publishes notifications to the topic's subscribers."""

    sns: SNSClient
    arn: str

    def send(self, message: Message) -> None:
        """Publish a message. Raises ClientError or BotoCoreError."""
        self.sns.publish(
            TopicArn=self.arn,
            Subject=message.subject.encode("ascii", "replace").decode()[:_SUBJECT_LENGTH],
            Message=message.text,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
            },
        )
