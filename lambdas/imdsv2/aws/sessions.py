"""Clients that act in the accounts of the organisation, in sessions of the roles there, within the quotas."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload

import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ReadTimeoutError
from botocore.utils import parse_timestamp

from imdsv2.aws.errors import IN_DOUBT, KEYS_REFUSED, THROTTLING
from imdsv2.aws.pacing import LEAST_DATAPOINTS
from imdsv2.domain.instance import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sts import STSClient

    from imdsv2.aws.pacing import Pacing
    from imdsv2.domain.instance import Placed

Role = Literal["read", "write", "rollback"]

_ROLE_NAME = "imdsv2-remediation-{role}"
_RENEW_BEFORE_END = timedelta(minutes=10)
_BEYOND_DOUBT = timedelta(seconds=10)
"""Role sessions younger than this are not to blame for a refusal."""
_CLIENTS_KEPT = 100
"""Each holds 0.8 MB as soon as it has called, most of it the certificates that it trusts; an organisation would need thousands."""
_ATTEMPTS = 5
_ATTEMPTS_UNANSWERED = 2
"""Whoever lets us wait for half a minute twice over is left for later: the others' work waits for this function too."""
_COST, _SESSION, _RENEWED = "imdsv2-cost", "imdsv2-session", "imdsv2-renewed"
"""What a call keeps while botocore makes it."""

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


@dataclass(frozen=True, slots=True)
class _RoleSession:
    name: str
    credentials: Credentials
    began_at: datetime
    ends_at: datetime


class Members:
    """Clients that act in the accounts the instances live in, each through a role of that account.

    Each request is signed with the keys of the role's session at that moment. Sessions are kept until shortly before they
    end, or until AWS refuses one that is not quite new; the request is then repeated in a new one. The security account's
    own instances take the same way.

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
        self._clients: dict[tuple[str, Place, Role], Any] = {}
        self._assuming: dict[tuple[str, str, Role], Lock] = {}
        self._making_clients = Lock()  # botocore's sessions are not safe among threads while they make clients.

    def ec2(self, there: Placed, role: Role) -> EC2Client:
        """EC2 in the account and Region where something lies. Raises ClientError where the role cannot be assumed."""
        return self._client("ec2", there, role)

    def session_name(self, there: Placed, role: Role) -> str | None:
        """The name of the session in which calls are made there, as the account's CloudTrail shows it; None before any."""
        known = self._role_sessions.get((there.partition, there.account, role))
        return known.name if known else None

    def cloudwatch(self, there: Placed) -> CloudWatchClient:
        """CloudWatch in the account and Region where something lies. Raises ClientError where the role cannot be assumed."""
        return self._client("cloudwatch", there, "read")

    @overload
    def _client(self, service: Literal["ec2"], there: Placed, role: Role) -> EC2Client: ...
    @overload
    def _client(self, service: Literal["cloudwatch"], there: Placed, role: Role) -> CloudWatchClient: ...
    def _client(self, service: str, there: Placed, role: Role) -> Any:
        place = Place(there.partition, there.region, there.account)
        keys = self._role_session(there, role).credentials
        with self._making_clients:
            client = self._clients.pop((service, place, role), None) or self._made(service, place, role, keys)
            self._clients[service, place, role] = client
            if len(self._clients) > _CLIENTS_KEPT:
                del self._clients[next(iter(self._clients))]  # The one that was not asked for the longest.
            return client

    def _made(self, service: str, place: Place, role: Role, keys: Credentials) -> Any:
        client = self._sessions[service].create_client(
            service,
            region_name=place.region,
            config=CONFIG,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
        )
        self._sign(client, place, role)
        _give_up(client)
        if self._pacing is not None:
            _pace(client, place, self._pacing, self._sleep)
        return client

    def _sign(self, client: Any, place: Place, role: Role) -> None:
        """Have each request of a client signed with the keys of the moment, and repeated once if AWS refuses them."""

        def before(request: Any, **_: Any) -> None:
            session = self._role_session(place, role)
            request.context[_SESSION] = session
            request.context.setdefault("signing", {})["request_credentials"] = session.credentials

        def after(response: Any, request_dict: Mapping[str, Any], **_: Any) -> float | None:
            context = request_dict["context"]
            refused = response is not None and response[1].get("Error", {}).get("Code") in KEYS_REFUSED
            if not refused or context.get(_RENEWED) or self._now() - context[_SESSION].began_at < _BEYOND_DOUBT:
                return None
            context[_RENEWED] = True
            self._forget(place, role, context[_SESSION])
            return 0.0

        client.meta.events.register("before-sign", before)
        client.meta.events.register("needs-retry", after)

    def _role_session(self, there: Placed, role: Role) -> _RoleSession:
        key = (there.partition, there.account, role)
        with self._assuming.setdefault(
            key, Lock()
        ):  # Each role by itself: an account that is slow to let us in holds up no other.
            known = self._role_sessions.get(key)
            if known is None or known.ends_at - self._now() <= _RENEW_BEFORE_END:
                self._role_sessions[key] = known = self._assume(there, role)
            return known

    def _forget(self, there: Placed, role: Role, refused: _RoleSession) -> None:
        key = (there.partition, there.account, role)
        with self._assuming[key]:
            if self._role_sessions.get(key) is refused:  # Else another thread was refused too, and has been faster.
                del self._role_sessions[key]

    def _assume(self, there: Placed, role: Role) -> _RoleSession:
        name, now = self._session_name(), self._now()
        granted = self._sts.assume_role(
            RoleArn=f"arn:{there.partition}:iam::{there.account}:role/{_ROLE_NAME.format(role=role)}",
            RoleSessionName=name,
        )["Credentials"]
        credentials = Credentials(granted["AccessKeyId"], granted["SecretAccessKey"], granted["SessionToken"])
        return _RoleSession(name=name, credentials=credentials, began_at=now, ends_at=granted["Expiration"])


def _give_up(client: Any) -> None:
    """Let each call of a client wait for an answer only so many times."""

    def after(attempts: int, caught_exception: Exception | None, **_: Any) -> None:
        if isinstance(caught_exception, ReadTimeoutError) and attempts >= _ATTEMPTS_UNANSWERED:
            raise caught_exception

    client.meta.events.register("needs-retry", after)


def _pace(client: Any, place: Place, pacing: Pacing, sleep: Callable[[float], None]) -> None:
    """Let each call of a client wait for its quota, and so each request that botocore repeats."""

    def before(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context[_COST] = _cost(params)
        sleep(pacing.reserve(place, model.name, context[_COST]))

    def after(response: Any, operation: Any, attempts: int, request_dict: Mapping[str, Any], **_: Any) -> None:
        context = request_dict["context"]
        throttled = response is not None and response[1].get("Error", {}).get("Code") in THROTTLING
        if throttled:
            pacing.throttled(place, operation.name)
        elif response is None or response[0].status_code >= 500:
            context[IN_DOUBT] = True
        else:
            return
        in_doubt = context.get(IN_DOUBT, False)
        if response is not None:
            response[1].setdefault("ResponseMetadata", {})[IN_DOUBT] = in_doubt
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
