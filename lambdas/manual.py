"""A person asks: dry run by default, never a stack trace for an answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imdsv2 import telemetry
from imdsv2.errors import InvalidRequest
from imdsv2.events import parse_order
from imdsv2.model import Request
from imdsv2.report import answer_document, error_document
from imdsv2.wiring import wire
from invocation import logger, metrics, request_id

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

service = wire(os.environ, logger, request_id)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Answer a manual invoke as the contract says."""
    service.begin(context.get_remaining_time_in_millis())
    line = service.line
    try:
        order = parse_order(event)
        requests = [target for target in order.targets if isinstance(target, Request)]
        outcomes = line.run(requests, context.aws_request_id, dry_run=order.dry_run)
        in_force = line.policies.current(line.now())
    except InvalidRequest as refused:
        return error_document(refused.code, str(refused))
    except Exception:  # noqa: BLE001 - a person gets a sentence; the trace is in the log
        logger.exception("manual invoke failed")
        return error_document(
            "InternalError", f"The request failed; its log has the id {context.aws_request_id}. Try it again."
        )
    telemetry.report(outcomes, in_force, logger, metrics, dry_run=order.dry_run)
    return answer_document(order, outcomes, in_force.policy.mode)
