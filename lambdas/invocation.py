"""Shared by the handlers: logger, metrics, and the id of the current invocation."""

from __future__ import annotations

import warnings

from aws_lambda_powertools import Logger, Metrics

from imdsv2.version import VERSION

# An invocation may have no metrics to publish, e.g. after an invalid request; that needs no warning.
warnings.filterwarnings("ignore", message="No application metrics to publish")

logger = Logger(version=VERSION)
metrics = Metrics()


def request_id() -> str:
    """The current invocation's id, which correlates CloudTrail with the ledger."""
    return str(logger.get_current_keys().get("function_request_id", "outside-an-invocation"))
