"""Role sessions in use: renewed, refused, or revoked while a client uses them; and accounts that do not answer."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from imdsv2.aws import sessions as aws
from imdsv2.aws.ec2 import describe
from imdsv2.aws.parsing import metrics_session
from imdsv2.aws.sessions import MemberClients
from imdsv2.domain.instance import Unreachable
from tests.integration.builders import MEMBER, NOW, ROLES, arn_of
from tests.world.clock import Clock

if TYPE_CHECKING:
    from tests.integration.builders import Stub

HERE = arn_of("1")
NOBODY_THERE = (200, "<Response><reservationSet/></Response>")
UNANSWERED = ReadTimeoutError(endpoint_url="https://ec2")


def refused(code: str) -> tuple[int, str]:
    """EC2's refusal."""
    return 403, f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"


@dataclass
class World:
    """Members with a stubbed STS, and EC2's answers together with the token of each request."""

    stub: Stub
    clock: Clock = field(default_factory=lambda: Clock(NOW))
    answers: list[tuple[int, str] | Exception] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sts = self.stub.client("sts")
        session = botocore.session.Session()
        sessions = (session, metrics_session(session))
        self.clients = MemberClients(*sessions, self.sts, ROLES, lambda: "request-1", self.clock)

    def grant(self, *names: str, role: str = "read", account: str = MEMBER) -> None:
        """The next sessions; each is valid for an hour from now."""
        asked = {
            "RoleArn": f"arn:aws:iam::{account}:role/imdsv2-remediation-{role}",
            "RoleSessionName": "request-1",
        }
        for name in names:
            keys = {"AccessKeyId": f"{name:A>20}", "SecretAccessKey": "secret", "SessionToken": name}
            until = self.clock() + timedelta(hours=1)
            self.stub.answer(self.sts, "assume_role", {"Credentials": {**keys, "Expiration": until}}, asked)

    def ec2(self) -> Any:
        """EC2 through the read role."""
        client: Any = self.clients.ec2(HERE, "read")
        client.meta.events.register("before-send", self._answer, unique_id="wire")
        return client

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        self.tokens.append(request.headers["X-Amz-Security-Token"].decode())
        answer = self.answers.pop(0) if self.answers else NOBODY_THERE
        if isinstance(answer, Exception):
            raise answer
        raw: Any = io.BytesIO(answer[1].encode())
        raw.stream = lambda: iter([raw.read()])
        return AWSResponse(request.url, answer[0], HTTPHeaders(), raw)


@pytest.fixture
def world(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> World:
    """A member account whose roles can be assumed; botocore's own waiting takes no time."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return World(stub)


def test_a_session_is_renewed_before_it_ends(world: World) -> None:
    """It is kept while it is valid for longer than a run takes; then existing clients sign with the next one."""
    world.grant("first")
    client = world.ec2()
    world.clock.move(minutes=49)
    client.describe_instances()
    world.clock.move(minutes=1)
    world.grant("second")
    client.describe_instances()
    assert world.ec2() is client
    assert ["first", "second"] == world.tokens


@pytest.mark.parametrize(
    "code",
    [
        "RequestExpired",
        "ExpiredToken",
        "ExpiredTokenException",
        "AuthFailure",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "UnauthorizedOperation",
        "AccessDenied",
        "AccessDeniedException",
    ],
)
def test_a_request_whose_keys_are_refused_is_sent_again_in_a_new_session(code: str, world: World) -> None:
    """The keys have expired, their role was deployed again, or an administrator has revoked past sessions."""
    world.grant("first")
    client = world.ec2()
    world.clock.move(seconds=11)
    world.grant("second")
    world.answers = [refused(code)]
    assert {HERE: "Missing"} == {arn: type(each).__name__ for arn, each in describe(client, [HERE]).items()}
    client.describe_instances()
    assert ["first", "second", "second"] == world.tokens


def test_new_keys_that_are_refused_are_not_to_blame(world: World) -> None:
    """If the role lacks a permission, a new session does not help: many such refusals must not open as many
    sessions."""
    world.grant("first")
    world.answers = [refused("UnauthorizedOperation")] * 3
    for _ in range(3):
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            world.ec2().describe_instances()
    assert ["first"] * 3 == world.tokens


def test_a_call_is_repeated_once_for_its_keys_whatever_the_clock_says(world: World) -> None:
    """The second refusal is final."""
    world.grant("first", "second")
    client = world.ec2()
    world.clock.move(seconds=11)
    client.meta.events.register("before-send", lambda **_: world.clock.move(seconds=11))
    world.answers = [refused("UnauthorizedOperation")] * 5
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        client.describe_instances()
    assert ["first", "second"] == world.tokens


def test_whoever_is_refused_later_uses_the_session_that_another_has_opened(world: World) -> None:
    """Concurrent calls are refused together, and need one new session."""
    world.grant("first", "second")
    client = world.ec2()
    world.clock.move(seconds=11)

    def meanwhile(**_: Any) -> None:
        if len(world.tokens) == 1:
            client.describe_instances()

    client.meta.events.register("before-send", meanwhile)
    world.answers = [refused("RequestExpired"), refused("RequestExpired")]
    client.describe_instances()
    assert ["first", "first", "second", "second"] == world.tokens


def test_a_role_that_is_not_given_again_is_told_as_such(world: World) -> None:
    """With STS's message, and the account counts as unreachable; the next attempt assumes the role again."""
    world.grant("first")
    client = world.ec2()
    world.clock.move(seconds=11)
    world.answers = [refused("RequestExpired")]
    world.stub.refuse(world.sts, "assume_role", "AccessDenied", "not authorized to perform: sts:AssumeRole")
    target = describe(client, [HERE])[HERE]
    assert isinstance(target, Unreachable)
    assert "AssumeRole" in target.problem
    world.grant("second")
    world.ec2().describe_instances()
    assert ["first", "second"] == world.tokens


def test_an_account_that_does_not_answer_is_waited_for_twice(world: World) -> None:
    """One minute; five times half a minute would use up the function's time, which other accounts need."""
    world.grant("first")
    world.answers = [UNANSWERED] * 5
    target = describe(world.ec2(), [HERE])[HERE]
    assert isinstance(target, Unreachable)
    assert "ReadTimeoutError" in target.problem
    assert 2 == len(world.tokens)


def test_an_answer_that_was_lost_once_is_asked_for_again(world: World) -> None:
    """A failed connection costs little, and is retried as often as any failure of AWS."""
    world.grant("first")
    world.answers = [UNANSWERED, NOBODY_THERE, *[ConnectTimeoutError(endpoint_url="https://ec2")] * 4]
    client = world.ec2()
    client.describe_instances()
    client.describe_instances()
    assert 7 == len(world.tokens)


def test_only_so_many_clients_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most recently used: a thousand accounts must not fill the function's memory."""
    monkeypatch.setattr(aws, "_CLIENTS_KEPT", 2)
    accounts = ["1" * 12, "2" * 12, "3" * 12]
    for account in accounts:
        world.grant(account, account=account)
    first, second = (world.clients.ec2(arn_of("1", account=account), "read") for account in accounts[:2])
    assert world.clients.ec2(arn_of("1", account=accounts[0]), "read") is first
    third = world.clients.ec2(arn_of("1", account=accounts[2]), "read")
    kept = [world.clients.ec2(arn_of("1", account=account), "read") for account in (accounts[0], accounts[2])]
    assert [first, third] == kept
    assert world.clients.ec2(arn_of("1", account=accounts[1]), "read") is not second
