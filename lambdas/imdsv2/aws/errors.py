"""How a failed call to AWS is read."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from imdsv2.errors import QuotaExhausted

CALL_FAILURES = (ClientError, BotoCoreError, QuotaExhausted)
"""What a call in an account can raise: a refusal of AWS's, no answer, or that its quota leaves no time for it."""

_MESSAGE_LENGTH = 300

KEYS_REFUSED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
}
"""How AWS refuses keys that have ended, whose role was deployed anew, or whose sessions an administrator has revoked."""

THROTTLING = {
    "RequestLimitExceeded",
    "Client.RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "LimitExceededException",
    "RequestThrottled",
    "RequestThrottledException",
    "EC2ThrottledException",
    "ProvisionedThroughputExceededException",
    "SlowDown",
}
"""How AWS's services say that too many calls came."""

IN_DOUBT = "imdsv2-in-doubt"
"""Where a response's metadata says that AWS may have done what it answered with an error, at an attempt before the last."""


def error_code(error: Exception) -> str:
    """AWS's code of a refusal, else the name of the exception."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "Unknown")
    return type(error).__name__


def error_message(error: Exception) -> str:
    """AWS's own words, cut to what a person reads."""
    text = str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else str(error)
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 3] + "..."


def describe_error(error: Exception) -> str:
    """One phrase for an explanation: which call, what code, which words."""
    call = f" to {error.operation_name}" if isinstance(error, ClientError) else ""
    return f"{error_code(error)}{call}: {error_message(error)}"


def is_throttling(error: Exception) -> bool:
    """Whether AWS asks to come back later, rather than refusing."""
    return isinstance(error, QuotaExhausted) or error_code(error) in THROTTLING


def may_pass(error: Exception) -> bool:
    """Whether the same call may well succeed later: AWS asks to come back, has failed itself, or does not answer."""
    if not isinstance(error, ClientError):
        return True
    return is_throttling(error) or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500


def may_have_been_done(error: Exception) -> bool:
    """Whether AWS may have done nevertheless what it refused: it failed itself, at the last attempt or at one before."""
    if not isinstance(error, ClientError):
        return False
    answer = error.response["ResponseMetadata"]
    return bool(answer.get(IN_DOUBT)) or (answer["HTTPStatusCode"] >= 500 and not is_throttling(error))
