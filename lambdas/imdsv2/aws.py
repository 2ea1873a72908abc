"""What all calls to AWS share: clients, role sessions, and how an error is read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import parse_timestamp

from imdsv2.errors import QuotaExhausted
from imdsv2.model import Place
from imdsv2.pacing import LEAST_DATAPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sts import STSClient

    from imdsv2.model import Placed
    from imdsv2.pacing import Pacing

Role = Literal["read", "write"]

CALL_FAILURES = (ClientError, BotoCoreError, QuotaExhausted)
"""What a call in an account can raise: a refusal of AWS's, no answer, or that its quota leaves no time for it."""

_ROLE_NAME = "imdsv2-remediation-{role}"
_RENEW_BEFORE_END = timedelta(minutes=10)
_MESSAGE_LENGTH = 300
_ATTEMPTS = 5
_COST, _IN_DOUBT = "imdsv2-cost", "imdsv2-in-doubt"
"""What a call keeps while botocore makes it."""
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
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
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
    return isinstance(error, QuotaExhausted) or error_code(error) in _THROTTLING


def may_have_been_done(error: Exception) -> bool:
    """Whether AWS may have done nevertheless what it refused: it failed itself, at the last attempt or at one before."""
    if not isinstance(error, ClientError):
        return False
    answer = error.response["ResponseMetadata"]
    return bool(answer.get(_IN_DOUBT)) or (answer["HTTPStatusCode"] >= 500 and not is_throttling(error))


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
        pacing: keeps calls within the quotas of each account and Region; None where there are none.
        sleep: how to wait for them.
    """

    def __init__(
        self,
        session: botocore.session.Session,
        metrics: botocore.session.Session,
        sts: STSClient,
        session_name: Callable[[], str],
        now: Callable[[], datetime],
        pacing: Pacing | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sessions = {"ec2": session, "cloudwatch": metrics}
        self._sts = sts
        self._session_name = session_name
        self._now = now
        self._pacing = pacing
        self._sleep = sleep
        self._role_sessions: dict[tuple[str, str, Role], _RoleSession] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._assuming: dict[tuple[str, str, Role], Lock] = {}
        self._making_clients = Lock()  # botocore's sessions are not safe among threads while they make clients.

    def ec2(self, there: Placed, role: Role) -> EC2Client:
        """EC2 in the account and Region where something lies. Raises ClientError where the role cannot be assumed."""
        return self._client("ec2", there, role)

    def cloudwatch(self, there: Placed) -> CloudWatchClient:
        """CloudWatch in the account and Region where something lies. Raises ClientError where the role cannot be assumed."""
        return self._client("cloudwatch", there, "read")

    @overload
    def _client(self, service: Literal["ec2"], there: Placed, role: Role) -> EC2Client: ...
    @overload
    def _client(self, service: Literal["cloudwatch"], there: Placed, role: Role) -> CloudWatchClient: ...
    def _client(self, service: str, there: Placed, role: Role) -> Any:
        keys: Mapping[str, Any] = self._role_session(there, role).keys
        place = (service, there.region, keys["aws_access_key_id"])
        with self._making_clients:
            if place not in self._clients:
                self._clients[place] = client = self._sessions[service].create_client(
                    service, region_name=there.region, config=CONFIG, **keys
                )
                if self._pacing is not None:
                    _pace(client, Place(there.partition, there.region, there.account), self._pacing, self._sleep)
            return self._clients[place]

    def _role_session(self, there: Placed, role: Role) -> _RoleSession:
        place = (there.partition, there.account, role)
        with self._assuming.setdefault(
            place, Lock()
        ):  # Each role by itself: an account that is slow to let us in holds up no other.
            known = self._role_sessions.get(place)
            if known is None or known.ends_at - self._now() <= _RENEW_BEFORE_END:
                self._forget_clients(known)
                self._role_sessions[place] = known = self._assume(there, role)
            return known

    def _forget_clients(self, ended: _RoleSession | None) -> None:
        key = ended.keys["aws_access_key_id"] if ended else None
        with self._making_clients:
            self._clients = {each: client for each, client in self._clients.items() if each[2] != key}

    def _assume(self, there: Placed, role: Role) -> _RoleSession:
        granted = self._sts.assume_role(
            RoleArn=f"arn:{there.partition}:iam::{there.account}:role/{_ROLE_NAME.format(role=role)}",
            RoleSessionName=self._session_name(),
        )["Credentials"]
        keys = {
            "aws_access_key_id": granted["AccessKeyId"],
            "aws_secret_access_key": granted["SecretAccessKey"],
            "aws_session_token": granted["SessionToken"],
        }
        return _RoleSession(keys=keys, ends_at=granted["Expiration"])


def _pace(client: Any, place: Place, pacing: Pacing, sleep: Callable[[float], None]) -> None:
    """Let each call of a client wait for its quota, and so each request that botocore repeats."""

    def before(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context[_COST] = _cost(params)
        sleep(pacing.reserve(place, model.name, context[_COST]))

    def after(response: Any, operation: Any, attempts: int, request_dict: Mapping[str, Any], **_: Any) -> None:
        context = request_dict["context"]
        throttled = response is not None and response[1].get("Error", {}).get("Code") in _THROTTLING
        if throttled:
            pacing.throttled(place, operation.name)
        elif response is None or response[0].status_code >= 500:
            context[_IN_DOUBT] = True
        else:
            return
        in_doubt = context.get(_IN_DOUBT, False)
        if response is not None:
            response[1].setdefault("ResponseMetadata", {})[_IN_DOUBT] = in_doubt
        if attempts < _ATTEMPTS:
            sleep(pacing.reserve(place, operation.name, context[_COST], in_doubt=in_doubt))

    client.meta.events.register("before-parameter-build", before)
    client.meta.events.register("needs-retry", after)


def _cost(params: Mapping[str, Any]) -> float:
    """What a call takes from its quota: one token, or the datapoints that it asks for."""
    if "MetricDataQueries" not in params:
        return 1.0
    seconds = (params["EndTime"] - params["StartTime"]).total_seconds()
    datapoints = sum(seconds / query["MetricStat"]["Period"] for query in params["MetricDataQueries"])
    return max(LEAST_DATAPOINTS, float(datapoints))
