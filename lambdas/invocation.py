"""What the handlers share: logger, metrics, and the id of the invocation under way."""

from __future__ import annotations

import warnings

from aws_lambda_powertools import Logger, Metrics

# A request that is refused has nothing to count, and that is nothing to warn of.
warnings.filterwarnings("ignore", message="No application metrics to publish")

logger = Logger()
metrics = Metrics()


def request_id() -> str:
    """The id of the invocation under way, by which CloudTrail and the ledger are brought together."""
    return str(logger.get_current_keys().get("function_request_id", "outside-an-invocation"))
