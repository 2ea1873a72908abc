"""Handler of the broadcast function: what the ledger's stream tells of decisions goes to the service's bus, at least once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2.ledger.detail import detail_of
from imdsv2.wiring import wire_bus
from invocation import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

bus = wire_bus(os.environ)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Send a batch. Lambda delivers again from the first event that was not taken."""
    records = event["Records"]
    taken = bus.put([detail_of(each["dynamodb"]["NewImage"]) for each in records])
    if taken == len(records):
        return {"batchItemFailures": []}
    left = records[taken]["dynamodb"]["SequenceNumber"]
    logger.warning("events not taken", extra={"taken": taken, "left": len(records) - taken})
    return {"batchItemFailures": [{"itemIdentifier": left}]}
