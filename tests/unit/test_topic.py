"""What goes to the topic: plain text, or the form that chats show."""

from __future__ import annotations

import json
from typing import Any, cast

from imdsv2.aws.topic import Topic
from imdsv2.domain.texts.message import Message

ATTRIBUTES = {"kind": "broke", "owner": "team red"}


class Sns:
    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}

    def publish(self, **message: Any) -> None:
        self.sent = message


def send(text: str, *, for_chat: bool) -> dict[str, Any]:
    """What is published."""
    sns = Sns()
    Topic(cast("Any", sns), "arn:topic", for_chat).send(Message(subject="Broke", text=text, attributes=ATTRIBUTES))
    return sns.sent


def test_mail_is_plain_text_with_attributes_to_filter_by() -> None:
    """As it was written."""
    sent = send("Something broke.", for_chat=False)
    assert ("Broke", "Something broke.") == (sent["Subject"], sent["Message"])
    assert ATTRIBUTES == {name: each["StringValue"] for name, each in sent["MessageAttributes"].items()}


def test_a_chat_gets_the_schema_of_custom_notifications() -> None:
    """With title and text; the attributes are there to filter by, and in the context for buttons."""
    sent = send("Something broke.", for_chat=True)
    document = json.loads(sent["Message"])
    assert ("1.0", "custom") == (document["version"], document["source"])
    assert {"textType": "client-markdown", "title": "Broke", "description": "Something broke."} == document["content"]
    assert ATTRIBUTES == document["metadata"]["additionalContext"]
    assert ATTRIBUTES.keys() == sent["MessageAttributes"].keys()


def test_a_text_that_is_too_long_for_a_chat_is_cut_and_says_so() -> None:
    """The whole is in the ledger."""
    text = json.loads(send("word " * 3000, for_chat=True)["Message"])["content"]["description"]
    assert (8000, True) == (len(text), text.endswith("see imdsv2 audit)"))


def test_an_owner_whose_name_has_a_line_break_is_told_all_the_same() -> None:
    """SNS refuses a subject with control characters, and the message to all whom it names would be lost."""
    sns = Sns()
    subject = "IMDSv1 will be switched off: 3 instances of team\tred\nand blue \u2013 both"
    Topic(cast("Any", sns), "arn:topic").send(Message(subject=subject, text="Soon.", attributes=ATTRIBUTES))
    assert "IMDSv1 will be switched off: 3 instances of team red and blue ? both" == sns.sent["Subject"]
