"""Handler of the broadcast function: what the ledger's stream tells of decisions goes to the service's bus, at least once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2.ledger.detail import detail_of, is_event
from imdsv2.wiring.bus import wire_bus
from invocation import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

bus = wire_bus(os.environ)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Send a batch. Lambda delivers again from the first event that was not taken."""
    details = [(each["dynamodb"]["SequenceNumber"], detail) for each in event["Records"] if (detail := _detail(each))]
    taken = bus.put([detail for _, detail in details])
    if taken == len(details):
        return {"batchItemFailures": []}
    left, _ = details[taken]
    logger.warning("events not taken", extra={"taken": taken, "left": len(details) - taken})
    return {"batchItemFailures": [{"itemIdentifier": left}]}


def _detail(record: Any) -> dict[str, Any] | None:
    """The detail of an event; None of what is none of the trail's (verdicts on sources) or cannot be read: it would be
    delivered again for a day, and keep back all that is written after it."""
    item = record["dynamodb"]["NewImage"]
    if not is_event(item):
        return None
    try:
        return detail_of(item)
    except Exception:  # noqa: BLE001 - whatever it is, the others must not wait for it
        logger.exception("event not sent; the ledger has it", extra={"key": [item.get("pk"), item.get("sk")]})
        return None
