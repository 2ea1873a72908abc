"""Handler of the revisit function, on a schedule: sends due instances through the line, in batches."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2 import telemetry
from imdsv2.domain.request import Request, Source
from imdsv2.wiring.function import wire
from imdsv2.wiring.revisit import build_policy_change
from invocation import logger, metrics, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

function = wire(os.environ, logger, request_id)
line, policy_change = function.service.line, build_policy_change(function.service)

_BATCH = 300
_STOP_BEFORE_END_MS = 120_000
"""A batch of any size ends within this time; the rest is still due at the next run."""


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001 - Lambda's signature
    """Make due what a change of the policy concerns, then evaluate due instances until none are left or time runs out."""
    function.begin(context.get_remaining_time_in_millis())
    judged = 0

    def has_time() -> bool:
        return context.get_remaining_time_in_millis() > _STOP_BEFORE_END_MS

    policy_change.make_due(has_time)
    while has_time():
        now = line.now()
        claimed = line.ledger.claim(line.ledger.indexes.due(now, _BATCH), now + function.service.settings.lease)
        outcomes = line.run([Request(arn=arn, source=Source.REVISIT) for arn in claimed], context.aws_request_id)
        telemetry.report(outcomes, line.policies.current(line.now()), logger, metrics)
        judged += len(outcomes.judged)
        if len(claimed) < _BATCH:
            break
    return {"judged": judged}
