"""What the handlers share: logger, metrics, and the id of the invocation under way."""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics()


def request_id() -> str:
    """The id of the invocation under way, by which CloudTrail and the ledger are brought together."""
    return str(logger.get_current_keys().get("function_request_id", "outside-an-invocation"))
