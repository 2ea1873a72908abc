"""From a batch of queue messages to the line, and back to the queue: what is answered, what is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from imdsv2.line.events import Parsed, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from imdsv2.errors import MessagePoisoned
    from imdsv2.line.judgement import Outcomes
    from imdsv2.line.run import Line


class DeadLetters:
    """The dead-letter queue: the end of messages that no retry can help."""

    def __init__(self, sqs: SQSClient, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def bury(self, poisoned: Mapping[str, tuple[str, Sequence[MessagePoisoned]]]) -> set[str]:
        """Send messages (by id: body and complaints) with the reason as an attribute. Returns the ids that failed.

        One at a time: they are rare, and together they may be larger than SQS takes in a call.
        """
        return {
            message_id for message_id, (body, complaints) in poisoned.items() if not self._is_buried(body, complaints)
        }

    def _is_buried(self, body: str, complaints: Sequence[MessagePoisoned]) -> bool:
        try:
            self._sqs.send_message(
                QueueUrl=self._queue_url, MessageBody=body, MessageAttributes=_complaints(complaints)
            )
        except (ClientError, BotoCoreError):
            # Tried again with the message; what fails for good ends in the same queue by the queue's own count.
            return False
        return True


def process(
    records: Sequence[Mapping[str, Any]], line: Line, dead_letters: DeadLetters, request_id: str
) -> tuple[Outcomes, list[str], int]:
    """Judge what a batch of SQS records asks for.

    Returns the outcomes, the ids of messages to try again, and how many messages were poison. Only the schema makes
    poison; whatever else fails is tried again, message by message.
    """
    bodies = {record["messageId"]: record["body"] for record in records}
    parsed = {message_id: parse(body) for message_id, body in bodies.items()}
    outcomes = line.run([request for each in parsed.values() for request in each.requests], request_id)
    again = [message_id for message_id, each in parsed.items() if _has_failed(each, outcomes)]
    poisoned = {
        message_id: (bodies[message_id], each.poison)
        for message_id, each in parsed.items()
        if each.poison and message_id not in again
    }
    unburied = dead_letters.bury(poisoned)
    return outcomes, [*again, *sorted(unburied)], len(poisoned)


def _has_failed(parsed: Parsed, outcomes: Outcomes) -> bool:
    return any(request.arn in outcomes.failed for request in parsed.requests)


def _complaints(complaints: Sequence[MessagePoisoned]) -> dict[str, MessageAttributeValueTypeDef]:
    reason = "; ".join(str(complaint) for complaint in complaints)
    return {
        "field": {"DataType": "String", "StringValue": complaints[0].field},
        "reason": {"DataType": "String", "StringValue": reason[:2000]},
    }
