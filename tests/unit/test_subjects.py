"""Subjects of messages: SNS refuses a whole message whose subject it does not take."""

from __future__ import annotations

from typing import Any, cast

import pytest

from imdsv2.aws.topic import Topic
from imdsv2.domain.texts.message import Message


class Sns:
    """Takes what SNS would take: ASCII in one line, fewer than 100 characters."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    def publish(self, **message: Any) -> None:
        subject = message["Subject"]
        assert subject.isascii()
        assert subject.isprintable()
        assert 1 <= len(subject) < 100
        self.subjects.append(subject)


@pytest.mark.parametrize("for_chat", [False, True])
@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("team red", "Broke: 1 instance of team red"),
        ("team\nred", "Broke: 1 instance of team red"),
        ("team\tred\r", "Broke: 1 instance of team red "),
        ("équipe", "Broke: 1 instance of ?quipe"),
        ("t\x1beam\x7f\u2028x", "Broke: 1 instance of t eam  x"),
    ],
)
def test_an_owner_whose_tag_has_line_breaks_is_told_all_the_same(owner: str, said: str, for_chat: bool) -> None:
    """EC2 takes any characters in tags."""
    sns = Sns()
    message = Message(subject=f"Broke: 1 instance of {owner}", text="It broke.", attributes={"owner": "x"})
    Topic(cast("Any", sns), "arn:topic", for_chat).send(message)
    assert [said] == sns.subjects


@pytest.mark.parametrize("length", [98, 99, 100, 101, 300])
def test_a_subject_is_cut_to_what_sns_takes(length: int) -> None:
    """Fewer than 100 characters."""
    sns = Sns()
    Topic(cast("Any", sns), "arn:topic").send(Message(subject="x" * length, text="x", attributes={}))
    assert [min(length, 99)] == [len(each) for each in sns.subjects]
