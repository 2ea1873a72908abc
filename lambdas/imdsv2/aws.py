"""What all calls to AWS share: clients, role sessions, and how an error is read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sts import STSClient

    from imdsv2.model import InstanceArn

Role = Literal["read", "write"]

_ROLE_NAME = "imdsv2-remediation-{role}"
_RENEW_BEFORE_END = timedelta(minutes=10)
_MESSAGE_LENGTH = 300
_THROTTLING = {
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

CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=16,
    retries={"mode": "standard", "total_max_attempts": 5},
    user_agent_extra="imdsv2-remediation",
)


def metrics_session() -> botocore.session.Session:
    """A session for CloudWatch alone, whose clients leave timestamps as the epoch seconds that CloudWatch sends.

    botocore would turn each into a datetime, which is nine tenths of the time that a page of 100,800 datapoints takes.
    """
    session = botocore.session.Session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_epoch_seconds)
    return session


def _epoch_seconds(value: Any) -> Any:
    return value if isinstance(value, int | float) else parse_timestamp(value)


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
    return error_code(error) in _THROTTLING


@dataclass(frozen=True, slots=True)
class _RoleSession:
    keys: Mapping[str, str]
    ends_at: datetime


class Members:
    """Clients that act in the accounts the instances live in, each through a role of that account.

    Role sessions are kept until shortly before they end. The security account's own instances take the same way.

    Args:
        session: botocore session for EC2.
        metrics: botocore session for CloudWatch, see ``metrics_session``.
        sts: client of the function's own role.
        session_name: names each role session, so that the member's CloudTrail leads back to the invocation.
        now: the clock that ends sessions.
    """

    def __init__(
        self,
        session: botocore.session.Session,
        metrics: botocore.session.Session,
        sts: STSClient,
        session_name: Callable[[], str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sessions = {"ec2": session, "cloudwatch": metrics}
        self._sts = sts
        self._session_name = session_name
        self._now = now
        self._role_sessions: dict[tuple[str, str, Role], _RoleSession] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._lock = Lock()

    def ec2(self, arn: InstanceArn, role: Role) -> EC2Client:
        """EC2 in the account and Region of an instance. Raises ClientError where the role cannot be assumed."""
        return self._client("ec2", arn, role)

    def cloudwatch(self, arn: InstanceArn) -> CloudWatchClient:
        """CloudWatch in the account and Region of an instance. Raises ClientError where the role cannot be assumed."""
        return self._client("cloudwatch", arn, "read")

    @overload
    def _client(self, service: Literal["ec2"], arn: InstanceArn, role: Role) -> EC2Client: ...
    @overload
    def _client(self, service: Literal["cloudwatch"], arn: InstanceArn, role: Role) -> CloudWatchClient: ...
    def _client(self, service: str, arn: InstanceArn, role: Role) -> Any:
        with self._lock:  # Making clients is not safe among threads, and a session is worth a call only once.
            keys: Mapping[str, Any] = self._role_session(arn, role).keys
            place = (service, arn.region, keys["aws_access_key_id"])
            if place not in self._clients:
                self._clients[place] = self._sessions[service].create_client(
                    service, region_name=arn.region, config=CONFIG, **keys
                )
            return self._clients[place]

    def _role_session(self, arn: InstanceArn, role: Role) -> _RoleSession:
        place = (arn.partition, arn.account, role)
        known = self._role_sessions.get(place)
        if known is None or known.ends_at - self._now() <= _RENEW_BEFORE_END:
            self._role_sessions[place] = known = self._assume(arn, role)
        return known

    def _assume(self, arn: InstanceArn, role: Role) -> _RoleSession:
        granted = self._sts.assume_role(
            RoleArn=f"arn:{arn.partition}:iam::{arn.account}:role/{_ROLE_NAME.format(role=role)}",
            RoleSessionName=self._session_name(),
        )["Credentials"]
        keys = {
            "aws_access_key_id": granted["AccessKeyId"],
            "aws_secret_access_key": granted["SecretAccessKey"],
            "aws_session_token": granted["SessionToken"],
        }
        return _RoleSession(keys=keys, ends_at=granted["Expiration"])
