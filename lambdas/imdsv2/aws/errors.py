"""Classifies and describes the errors of AWS calls."""

from __future__ import annotations

import re

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError, ValidationError
from botocore.parsers import ResponseParserError

from imdsv2.errors import QuotaExhausted

UNANSWERED = (BotoCoreError, ResponseParserError)
"""What a call raises that got no answer, or one that cannot be read."""
CALL_FAILURES = (ClientError, *UNANSWERED, QuotaExhausted)
"""What a call in a member account can raise: an error from AWS, no answer, or an exhausted quota."""

_MESSAGE_LENGTH = 300
_ENCODED = re.compile(r"\s*Encoded authorization failure message:.*", re.DOTALL)
_DENIAL = re.compile(
    r"is not authorized to perform: (?P<action>[\w:-]+)( on resource: \S+)?,? (?P<why>(with an explicit deny|because no) .*)",
    re.DOTALL,
)
"""IAM User Guide, troubleshoot_access-denied.html: who, what and on what come before the reason, in several hundred characters."""

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
"""Error codes for expired or revoked credentials, or credentials of a role that was deployed anew."""

KEYS_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
"""Those of them that new credentials end, which the next invocation has."""

THROTTLING = {
    "RequestLimitExceeded",
    "Client.RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "Throttled",
    "TooManyRequestsException",
    "LimitExceededException",
    "BandwidthLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "SlowDown",
    "KMSThrottling",
    "KMSThrottlingException",
    "KmsThrottled",
    "KMS.ThrottlingException",
}
"""Error codes for throttling: all that botocore repeats for this reason, and those of services whose key is throttled."""

TOO_MANY_REQUESTS = 429
"""The HTTP status of throttling, whatever the code."""
_NOT_RECEIVED = {"RequestTimeout", "RequestTimeoutException"}
"""The service gave up waiting for the rest of a request; botocore repeats these too."""
_NEVER_SENT = (ParamValidationError, ValidationError)
"""What botocore refuses before it sends anything: the same call is refused each time."""

IN_DOUBT = "imdsv2-in-doubt"
"""Key in the response metadata: an earlier attempt of this call failed without proof that AWS did not execute it."""


def error_code(error: Exception) -> str:
    """AWS's error code, else the name of the exception class."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "Unknown")
    return type(error).__name__


def readable_message(error: Exception) -> str:
    """AWS's whole error message, without the part that it encodes."""
    text = str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else str(error)
    return _ENCODED.sub("", text).strip()


def error_message(error: Exception) -> str:
    """AWS's error message for people: of a denial, what is denied and by what; at most 300 characters."""
    text = readable_message(error)
    denial = _DENIAL.search(text)
    if denial is not None:
        text = f"not authorized to perform {denial['action']} {denial['why']}"
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 3] + "..."


def describe_error(error: Exception) -> str:
    """The operation, the error code and the message in one phrase, for explanations."""
    call = f" to {error.operation_name}" if isinstance(error, ClientError) else ""
    return f"{error_code(error)}{call}: {error_message(error)}"


def is_throttling(error: Exception) -> bool:
    """Whether the call was throttled."""
    return isinstance(error, QuotaExhausted) or error_code(error) in THROTTLING or _status(error) == TOO_MANY_REQUESTS


def may_pass(error: Exception) -> bool:
    """Whether a retry may succeed later: throttling, a server error, no answer, or credentials that the next invocation has anew."""
    if not isinstance(error, ClientError):
        return not isinstance(error, _NEVER_SENT)
    return is_throttling(error) or _status(error) >= 500 or error_code(error) in KEYS_EXPIRED | _NOT_RECEIVED


def _status(error: Exception) -> int:
    """The HTTP status of an answer; 0 where there is none."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(error, ClientError) else 0


def may_have_been_done(error: Exception) -> bool:
    """Whether AWS may have executed the call despite the error: the last or an earlier attempt got a server error."""
    if not isinstance(error, ClientError):
        return False
    answer = error.response["ResponseMetadata"]
    return bool(answer.get(IN_DOUBT)) or (answer["HTTPStatusCode"] >= 500 and not is_throttling(error))
