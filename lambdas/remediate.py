"""Handler of the remediate function: batches of findings and compliance changes from the queue."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2 import telemetry
from imdsv2.errors import SettingMissing
from imdsv2.intake.run import process
from imdsv2.wiring.function import wire
from imdsv2.wiring.intake import build_intake, wire_events
from invocation import logger, metrics, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = wire(os.environ, logger, request_id)
line, intake = function.service.line, build_intake(function.service)
if function.dead_letters is None:
    raise SettingMissing("DEAD_LETTER_QUEUE_URL")
dead_letters = function.dead_letters
event_names = wire_events(os.environ)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Process a batch. Returns SQS's partial batch response: the ids of the messages to retry."""
    function.begin(context.get_remaining_time_in_millis())
    outcomes, again, poison = process(event["Records"], intake, dead_letters, event_names, context.aws_request_id)
    telemetry.report(outcomes, line.policies.current(line.now()), logger, metrics)
    telemetry.count_poison(metrics, poison)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}
