"""Changes of which it is not known whether EC2 made them stay in doubt, whatever is answered to their repetition."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, ReadTimeoutError

from imdsv2.aws import metadata_options as action
from imdsv2.aws.errors import may_have_been_done
from imdsv2.aws.parsing import metrics_session
from imdsv2.aws.sessions import MemberClients
from tests.integration.builders import NOW, ROLES, arn_of
from tests.unit.builders import instance
from tests.world.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.aws.change_refusal import Refusal
    from imdsv2.domain.instance import Target
    from tests.integration.builders import Stub

HERE = arn_of("1")
Response = tuple[int, str] | Exception
LOST: list[Response] = [
    (500, "<Response><Errors><Error><Code>InternalError</Code><Message>x</Message></Error></Errors></Response>"),
    ReadTimeoutError(endpoint_url="https://ec2"),
]
DONE: Response = (200, "<Response><instanceId>i-1</instanceId></Response>")
WANTS = "The HttpEndpoint is not set to 'enabled' in this request. To specify a value for HttpTokens, set HttpEndpoint to 'enabled'."


def refused(code: str, message: str = "no") -> Response:
    """EC2's refusal."""
    return 400, f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"


class World:
    """The write role's EC2, with prepared answers, and an STS that gives the first session only."""

    def __init__(self, stub: Stub) -> None:
        self.stub, self.clock, self.answers = stub, Clock(NOW), list[Response]()
        self.sts = stub.client("sts")
        session = botocore.session.Session()
        self.clients = MemberClients(
            session, metrics_session(session), self.sts, ROLES, lambda: "request-1", self.clock, sleep=lambda _: None
        )
        keys = {"AccessKeyId": "A" * 20, "SecretAccessKey": "secret", "SessionToken": "first"}
        stub.answer(
            self.sts,
            "assume_role",
            {"Credentials": {**keys, "Expiration": NOW + timedelta(hours=1)}},
            {
                "RoleArn": f"arn:aws:iam::{HERE.account}:role/imdsv2-remediation-write",
                "RoleSessionName": "request-1",
            },
        )
        self.ec2: Any = self.clients.ec2(HERE, "write")
        events: Any = self.ec2.meta.events
        events.register("before-send", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        self.clock.move(seconds=11)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        raw: Any = io.BytesIO(answer[1].encode())
        raw.stream = lambda: iter([raw.read()])
        return AWSResponse(request.url, answer[0], HTTPHeaders(), raw)

    def require(self, look_again: Callable[[], Target]) -> Refusal | None:
        """The change as the line makes it."""
        return action.require_tokens(self.ec2, look_again, instance(arn=HERE), NOW, None)


@pytest.fixture
def world(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> World:
    """botocore's own waiting takes no time."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return World(stub)


def closed() -> Target:
    """A look that shows the endpoint disabled."""
    shown = instance(arn=HERE)
    return replace(shown, options=replace(shown.options, http_endpoint="disabled"))


@pytest.mark.parametrize("lost", LOST, ids=["error", "silence"])
def test_a_lost_change_is_in_doubt_though_no_new_session_is_given_for_its_repetition(
    lost: Response, world: World
) -> None:
    """The keys end in between, and STS refuses new ones: that is no answer to what EC2 was asked first."""
    world.answers = [lost, refused("RequestExpired")]
    world.stub.refuse(world.sts, "assume_role", "AccessDenied", "not authorized to perform: sts:AssumeRole")
    with pytest.raises(ClientError, match="AssumeRole") as caught:
        world.require(closed)
    assert may_have_been_done(caught.value)


def test_a_change_that_was_only_refused_is_in_no_doubt(world: World) -> None:
    """Without an attempt that was lost, EC2 has not made it."""
    world.answers = [refused("RequestExpired")]
    world.stub.refuse(world.sts, "assume_role", "AccessDenied", "not authorized to perform: sts:AssumeRole")
    refusal = world.require(closed)
    assert refusal is not None
    assert refusal.error is not None


@pytest.mark.parametrize("lost", LOST, ids=["error", "silence"])
def test_a_lost_change_is_in_doubt_though_its_repetition_meets_a_closed_endpoint(lost: Response, world: World) -> None:
    """Somebody has disabled the endpoint in between: tokens may be required all the same, and by the service."""
    world.answers = [lost, refused("InvalidParameterValue", WANTS)]
    with pytest.raises(ClientError, match="HttpEndpoint") as caught:
        world.require(closed)
    assert may_have_been_done(caught.value)
