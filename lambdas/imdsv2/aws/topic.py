"""The notifications topic. IAM: ``sns:Publish`` on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

    from imdsv2.domain.texts.message import Message

_SUBJECT_LENGTH = 99
"""Maximum length in characters (SNS API reference: fewer than 100)."""
_CHAT_LENGTH = 8000
"""Characters of a text that a chat is given; the ledger and the mail of others have the rest."""
_CUT = " ... (cut; see imdsv2 audit)"


@dataclass(frozen=True, slots=True)
class Topic:
    """Publishes notifications to the topic's subscribers. ``for_chat``: in the form that Amazon Q Developer shows in chats; it drops
    any other."""

    sns: SNSClient
    arn: str
    for_chat: bool = False

    def send(self, message: Message) -> None:
        """Publish a message. Raises ClientError or BotoCoreError."""
        self.sns.publish(
            TopicArn=self.arn,
            Subject=_subject(message.subject),
            Message=_chat_document(message) if self.for_chat else message.text,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
            },
        )


def _subject(text: str) -> str:
    """A subject as SNS takes it: ASCII, without line breaks and control characters, which the tags of owners may hold. SNS refuses
    the whole message otherwise."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return printable.encode("ascii", "replace").decode()[:_SUBJECT_LENGTH]


def _chat_document(message: Message) -> str:
    """A message in the schema of custom notifications."""
    text = message.text
    if len(text) > _CHAT_LENGTH:
        text = text[: _CHAT_LENGTH - len(_CUT)] + _CUT
    content = {"textType": "client-markdown", "title": message.subject, "description": text}
    context = {"summary": message.subject, "additionalContext": dict(message.attributes)}
    return json.dumps({"version": "1.0", "source": "custom", "content": content, "metadata": context})
