"""The handler that sends the ledger's events to the bus: in order, at least once, and none keeps back the others."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.aws.bus import Bus
from imdsv2.ledger.values import serialize

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:ec2:eu-west-1:222222222222:instance/i-0a1b2c3d4e5f60718"


class Events:
    """EventBridge, which refuses everything from an entry on."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.room = 1000

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        """Answer PutEvents."""
        answers: list[dict[str, Any]] = []
        for each in Entries:
            if len(self.taken) < self.room:
                self.taken.append(each)
                answers.append({"EventId": "x"})
            else:
                answers.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "no"})
        return {"Entries": answers, "FailedEntryCount": 0}


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def broadcast(events: Events, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The handler's module, with that bus."""
    monkeypatch.setenv("EVENT_BUS", "imdsv2-remediation")
    monkeypatch.setenv("EVENT_SOURCE", "imdsv2-remediation")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    module = importlib.import_module("broadcast")
    monkeypatch.setattr(module, "bus", Bus(events, "imdsv2-remediation", "imdsv2-remediation"))
    yield module
    sys.modules.pop("broadcast", None)


class Context:
    """What the logger asks of Lambda's context."""

    function_name, memory_limit_in_mb, aws_request_id = "broadcast", 256, "request-1"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:111111111111:function:broadcast"


def of_trail(number: int, **more: Any) -> dict[str, Any]:
    """An event of the trail, as the stream tells of it."""
    at = f"2026-03-04T05:06:{number:02}.000000Z"
    item = {
        "pk": ARN,
        "sk": f"event#{at}#0a{number:02}",
        "schema": 1,
        "kind": "status_changed",
        "status": "held",
        **more,
    }
    return streamed(number, item)


def streamed(number: int, item: dict[str, Any]) -> dict[str, Any]:
    image = {name: serialize(value) for name, value in item.items()}
    return {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(100 + number), "NewImage": image}}


def send(broadcast: Any, *records: dict[str, Any]) -> list[dict[str, str]]:
    """What Lambda is told to deliver again."""
    answer: dict[str, list[dict[str, str]]] = broadcast.handler({"Records": list(records)}, Context())
    return answer["batchItemFailures"]


@pytest.mark.parametrize(
    "pk",
    [
        "source#aws/222222222222/eu-west-1/auto_scaling_group:shop",
        "image#aws/222222222222/eu-west-1/ami-0a1b2c3d",
        "defaults#aws/222222222222/eu-west-1",
    ],
)
def test_what_earlier_versions_wrote_of_sources_images_and_defaults_keeps_back_no_decision(
    pk: str, broadcast: Any, events: Events
) -> None:
    """Their sort keys begin like those of the trail's events, and they lack what such an event has."""
    other = streamed(2, {"pk": pk, "sk": "event#2026-03-04T05:06:02.000000Z#0b", "status": "locking"})
    assert [] == send(broadcast, of_trail(1), other, of_trail(3))
    assert 2 == len(events.taken)


def test_an_event_that_cannot_be_read_keeps_back_none(broadcast: Any, events: Events) -> None:
    """It would be delivered again for a day, and all that follows it would wait."""
    assert [] == send(broadcast, of_trail(1, difference="no JSON"), of_trail(2))
    assert 1 == len(events.taken)


def test_what_the_bus_refuses_is_delivered_again_from_there(broadcast: Any, events: Events) -> None:
    """By its own number, whatever was left out before it."""
    events.room = 1
    other = streamed(0, {"pk": "image#x", "sk": "event#x"})
    assert [{"itemIdentifier": "102"}] == send(broadcast, other, of_trail(1), of_trail(2), of_trail(3))
