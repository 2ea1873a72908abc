"""Shared by the functions that manage a CloudFormation custom resource.

CloudFormation waits for a response at the URL in the request, and a stack without a response is stuck. Every request is
therefore answered.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

import urllib3
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools import Logger

CONFIG = Config(connect_timeout=3, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 2})
"""Of the clients: two calls that nobody answers still leave time, within the function's minute, to answer CloudFormation."""

LONGEST_REASON = 1000
"""Bytes; CloudFormation rejects responses of more than 4 KB."""
SEND_SECONDS = 10.0
"""For one attempt to answer; more of them follow, and Lambda invokes the function again if none succeeds."""


class Request(TypedDict):
    """The request from CloudFormation; the first one for a resource has no `PhysicalResourceId`."""

    RequestType: Literal["Create", "Update", "Delete"]
    ResponseURL: str
    StackId: str
    RequestId: str
    LogicalResourceId: str
    PhysicalResourceId: NotRequired[str]
    ResourceProperties: dict[str, str]


def answer(request: Request, physical_id: str, carry_out: Callable[[], str], logger: Logger) -> None:
    """Carry out a request and send the response. ``carry_out``: returns a note on what was done, the attribute `Note`.

    Raises MaxRetryError if the response could not be sent; Lambda then retries the invocation.
    """
    response: dict[str, Any] = {"Status": "SUCCESS", "PhysicalResourceId": physical_id}
    try:
        response["Data"] = {"Note": _cut(carry_out())}
    except Exception as error:  # noqa: BLE001  Whatever it was, without an answer the stack would wait for it.
        response |= {"Status": "FAILED", "Reason": _cut(f"{type(error).__name__}: {error}")}
    logger.info("custom resource", request_type=request["RequestType"], answer=response)
    _send(request, response)


def _cut(text: str) -> str:
    """A text within the limit, whatever its letters are. What UTF-8 does not know is replaced."""
    return text.encode(errors="replace")[:LONGEST_REASON].decode(errors="ignore")


def _send(request: Request, response: dict[str, Any]) -> None:
    body = {
        "StackId": request["StackId"],
        "RequestId": request["RequestId"],
        "LogicalResourceId": request["LogicalResourceId"],
        **response,
    }
    retries = urllib3.Retry(5, allowed_methods={"PUT"}, status_forcelist=range(400, 600), backoff_factor=0.5)
    urllib3.PoolManager(retries=retries, timeout=SEND_SECONDS).request(
        "PUT",
        request["ResponseURL"],
        body=json.dumps(body, ensure_ascii=False).encode(),
        headers={"Content-Type": ""},  # The URL is signed for a request without one.
    )
