"""Processes a batch of queue messages: parses them, runs the line, and reports which messages to retry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES
from imdsv2.intake.events import Parsed, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from imdsv2.errors import MessagePoisoned
    from imdsv2.intake.event_names import EventNames
    from imdsv2.intake.started import Started
    from imdsv2.line.judgement import Outcomes
    from imdsv2.line.run import Line
    from imdsv2.line.sources.findings import SourceFindings


class DeadLetters:
    """The dead-letter queue, for messages that no retry can fix."""

    def __init__(self, sqs: SQSClient, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def bury(self, poisoned: Mapping[str, tuple[str, Sequence[MessagePoisoned]]]) -> set[str]:
        """Send messages (id: body and errors) with the reason as an attribute. Returns the ids that could not be sent.

        One at a time: they are rare, and together they may exceed the size that SQS accepts in one call.
        """
        return {
            message_id for message_id, (body, complaints) in poisoned.items() if not self._is_buried(body, complaints)
        }

    def _is_buried(self, body: str, complaints: Sequence[MessagePoisoned]) -> bool:
        try:
            self._sqs.send_message(
                QueueUrl=self._queue_url, MessageBody=body, MessageAttributes=_complaints(complaints)
            )
        except CALL_FAILURES:
            # The message is retried; after too many attempts SQS itself moves it to the same queue.
            return False
        return True


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What answers messages: the line for instances, and beside it what answers findings about sources, and starts. Both are made when
    the first such message comes: most functions start for findings about instances."""

    line: Line
    make_sources: Callable[[], SourceFindings]
    make_started: Callable[[], Started]

    @cached_property
    def sources(self) -> SourceFindings:
        """What answers findings about sources."""
        return self.make_sources()

    @cached_property
    def started(self) -> Started:
        """What answers starts of instances."""
        return self.make_started()


def process(
    records: Sequence[Mapping[str, Any]], intake: Intake, dead_letters: DeadLetters, names: EventNames, request_id: str
) -> tuple[Outcomes, list[str], int]:
    """Evaluate the requests in a batch of SQS records.

    Returns the outcomes, the ids of the messages to retry, and the number of poison messages. Only schema errors make a
    message poison; other failures are retried message by message.
    """
    bodies = {record["messageId"]: record["body"] for record in records}
    parsed = {message_id: parse(body, names) for message_id, body in bodies.items()}
    outcomes = intake.line.run([request for each in parsed.values() for request in each.requests], request_id)
    about_sources = [request for each in parsed.values() for request in each.sources]
    unanswered = intake.sources.run(about_sources) if about_sources else {}
    starts = [arn for each in parsed.values() for arn in each.started]
    unnoticed = intake.started.run(starts) if starts else {}
    lost = {*outcomes.failed, *unanswered, *unnoticed}
    again = [message_id for message_id, each in parsed.items() if _has_failed(each, lost)]
    poisoned = {
        message_id: (bodies[message_id], each.poison)
        for message_id, each in parsed.items()
        if each.poison and message_id not in again
    }
    unburied = dead_letters.bury(poisoned)
    return outcomes, [*again, *sorted(unburied)], len(poisoned)


def _has_failed(parsed: Parsed, lost: AbstractSet[object]) -> bool:
    named = [each.arn for each in parsed.requests], [each.name for each in parsed.sources], parsed.started
    return any(each in lost for several in named for each in several)


def _complaints(complaints: Sequence[MessagePoisoned]) -> dict[str, MessageAttributeValueTypeDef]:
    reason = "; ".join(str(complaint) for complaint in complaints)
    return {
        "field": {"DataType": "String", "StringValue": complaints[0].field},
        "reason": {"DataType": "String", "StringValue": reason[:2000]},
    }
