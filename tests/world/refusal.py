"""How AWS refuses a call."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


def refusal(code: str, message: str, operation: str, *, status: int = 400, **more: Any) -> ClientError:
    """The error that botocore raises when AWS answers an operation with an error code and an HTTP status."""
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(answer, operation)
