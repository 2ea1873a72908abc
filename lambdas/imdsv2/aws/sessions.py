"""Clients for member accounts: through sessions of the roles there, and within the quotas."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload

from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from imdsv2.aws.errors import IN_DOUBT, KEYS_REFUSED
from imdsv2.aws.parsing import source_session
from imdsv2.aws.retries import ATTEMPTS, Turn, give_up, note_doubt, pace
from imdsv2.domain.instance import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    import botocore.session
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sts import STSClient

    from imdsv2.aws.pacing import Pacing
    from imdsv2.domain.instance import Placed

Role = Literal["read", "write", "rollback", "source", "capture"]
Other = Literal["autoscaling", "batch", "cloudtrail", "config", "eks", "ssm"]
"""Services that are only read, and only on request."""

_RENEW_BEFORE_END = timedelta(minutes=10)
_BEYOND_DOUBT = timedelta(seconds=10)
"""A session younger than this is not the cause of a refusal, so it is not renewed."""
_CLIENTS_KEPT = 100
"""A client takes 0.8 MB after its first call, mostly CA certificates; an organisation would need thousands."""
_SESSION, _RENEWED = "imdsv2-session", "imdsv2-renewed"
"""Keys under which a call's state is kept in botocore's request context."""

CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=96,  # As many as changes are made at a time: a connection more would be opened anew for each call.
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    user_agent_extra="imdsv2-remediation",
)
_ONCE = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
"""For commands to instances, which would run again."""


@dataclass(frozen=True, slots=True)
class _RoleSession:
    name: str
    credentials: Credentials
    began_at: datetime
    ends_at: datetime


class MemberClients:
    """Clients for the accounts in which the instances live, each through a role of that account.

    Each request is signed with the current credentials of the role session. A session is reused until shortly before it
    expires, or until AWS refuses its credentials although it is not new; the request is then retried once in a new
    session. The security account's own instances are accessed in the same way.

    Args:
        session: botocore session for EC2 and the other services.
        metrics: botocore session for CloudWatch, see ``metrics_session``.
        sts: STS client with the function's own role.
        roles: path and name of the accounts' roles without their last part, e.g. `imdsv2-remediation-`.
        session_name: names each role session, so that the member's CloudTrail identifies the invocation.
        now: the clock for session expiry.
        pacing: keeps calls within the quotas of each account and Region; None for no pacing.
        sleep: waits for a quota, in seconds.
        sources: makes the session for what launches instances, once it is needed.
    """

    def __init__(
        self,
        session: botocore.session.Session,
        metrics: botocore.session.Session,
        sts: STSClient,
        roles: str,
        session_name: Callable[[], str],
        now: Callable[[], datetime],
        pacing: Pacing | None = None,
        sleep: Callable[[float], None] = time.sleep,
        sources: Callable[[], botocore.session.Session] = source_session,
    ) -> None:
        self._sessions = {"ec2": session, "iam": session, "cloudwatch": metrics}
        self._sts = sts
        self._roles = roles
        self._session_name = session_name
        self._now = now
        self._pacing = pacing
        self._sleep = sleep
        self._sources = sources
        self._role_sessions: dict[tuple[str, str, Role], _RoleSession] = {}
        self._clients: dict[tuple[str, Place, Role], Any] = {}
        self._assuming: dict[tuple[str, str, Role], Lock] = {}
        self._making_clients = Lock()  # botocore sessions are not thread-safe while they create clients.
        self._turn = Turn()

    @contextmanager
    def turn(self, there: Placed, operation: str) -> Iterator[None]:
        """Wait for the quota of one call, which is then made inside without waiting: what is looked at after the wait is still
        so when AWS is asked. Raises QuotaExhausted, also where this invocation has no time left to begin anything new."""
        if self._pacing is not None:
            self._sleep(self._pacing.reserve(Place.of(there), operation, begins=True))
            self._turn.operation = operation
        try:
            yield
        finally:
            self._turn.operation = None

    def has_time(self) -> bool:
        """Whether this invocation may begin anything new."""
        return self._pacing is None or self._pacing.has_time()

    def ec2(self, there: Placed, role: Role) -> EC2Client:
        """An EC2 client for that account and Region. Raises ClientError if the role cannot be assumed."""
        return self._client("ec2", there, role)

    def ec2_of_sources(self, there: Placed, role: Role) -> EC2Client:
        """An EC2 client that knows the calls about what launches instances. Raises ClientError if the role cannot be assumed."""
        return self._client("sources", there, role)

    def iam(self, there: Placed) -> Any:
        """An IAM client with that account's read role. Raises ClientError if the role cannot be assumed."""
        return self._client("iam", there, "read")

    def role_name(self, role: Role) -> str:
        """The name of a role in every account, without its path."""
        return f"{self._roles}{role}".rpartition("/")[2]

    def session_name(self, there: Placed, role: Role) -> str | None:
        """The name of the current role session in that account, as in its CloudTrail; None if there is none yet."""
        known = self._role_sessions.get((there.partition, there.account, role))
        return known.name if known else None

    def cloudwatch(self, there: Placed) -> CloudWatchClient:
        """A CloudWatch client for that account and Region. Raises ClientError if the role cannot be assumed."""
        return self._client("cloudwatch", there, "read")

    def other(self, service: Other, there: Placed) -> Any:
        """A client of another service for that account and Region. Raises ClientError if the role cannot be assumed."""
        return self._client(service, there, "read")

    def autoscaling(self, there: Placed, role: Role) -> Any:
        """An Auto Scaling client for that account and Region. Raises ClientError if the role cannot be assumed."""
        return self._client("autoscaling", there, role)

    def ssm(self, there: Placed, role: Role) -> Any:
        """A Systems Manager client for that account and Region. Raises ClientError if the role cannot be assumed."""
        return self._client("ssm", there, role)

    @overload
    def _client(self, service: Other, there: Placed, role: Role) -> Any: ...
    @overload
    def _client(self, service: Literal["ec2", "sources"], there: Placed, role: Role) -> EC2Client: ...
    @overload
    def _client(self, service: Literal["iam"], there: Placed, role: Role) -> Any: ...
    @overload
    def _client(self, service: Literal["cloudwatch"], there: Placed, role: Role) -> CloudWatchClient: ...
    def _client(self, service: str, there: Placed, role: Role) -> Any:
        place = Place.of(there)
        keys = self._role_session(there, role).credentials
        with self._making_clients:
            client = self._clients.pop((service, place, role), None) or self._made(service, place, role, keys)
            self._clients[service, place, role] = client
            if len(self._clients) > _CLIENTS_KEPT:
                del self._clients[next(iter(self._clients))]  # Evict the least recently used client.
            return client

    def _made(self, service: str, place: Place, role: Role, keys: Credentials) -> Any:
        if service == "sources" and service not in self._sessions:
            self._sessions[service] = self._sources()
        client = self._sessions.get(service, self._sessions["ec2"]).create_client(
            "ec2" if service == "sources" else service,
            region_name=place.region,
            config=_ONCE if role == "capture" else CONFIG,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
        )
        self._sign(client, place, role)
        give_up(client)
        note_doubt(client)
        if self._pacing is not None:
            pace(client, place, self._pacing, self._sleep, self._turn)
        return client

    def _sign(self, client: Any, place: Place, role: Role) -> None:
        """Sign each request with the current credentials, and retry once with new ones if AWS refuses them."""

        def before(request: Any, **_: Any) -> None:
            try:
                session = self._role_session(place, role)
            except ClientError as error:
                # That no new session is given says nothing of an earlier attempt of the same call.
                if request.context.get(IN_DOUBT):
                    error.response["ResponseMetadata"][IN_DOUBT] = True  # type: ignore[literal-required]
                raise
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
        with self._assuming.setdefault(key, Lock()):  # One lock per role: a slow account does not block the others.
            known = self._role_sessions.get(key)
            if known is None or known.ends_at - self._now() <= _RENEW_BEFORE_END:
                self._role_sessions[key] = known = self._assume(there, role)
            return known

    def _forget(self, there: Placed, role: Role, refused: _RoleSession) -> None:
        key = (there.partition, there.account, role)
        with self._assuming[key]:
            if self._role_sessions.get(key) is refused:  # Otherwise another thread has already replaced the session.
                del self._role_sessions[key]

    def _assume(self, there: Placed, role: Role) -> _RoleSession:
        name, now = self._session_name(), self._now()
        granted = self._sts.assume_role(
            RoleArn=f"arn:{there.partition}:iam::{there.account}:role/{self._roles}{role}",
            RoleSessionName=name,
        )["Credentials"]
        credentials = Credentials(granted["AccessKeyId"], granted["SecretAccessKey"], granted["SessionToken"])
        return _RoleSession(name=name, credentials=credentials, began_at=now, ends_at=granted["Expiration"])
