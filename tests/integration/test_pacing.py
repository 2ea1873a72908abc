"""Calls in accounts stay within their quotas: what botocore sends, what it retries, and what is not sent at all."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, ConnectTimeoutError

from imdsv2.aws import metadata_options as action
from imdsv2.aws import tagging
from imdsv2.aws.ec2 import describe
from imdsv2.aws.pacing import Pacing
from imdsv2.aws.parsing import metrics_session
from imdsv2.aws.sessions import MemberClients
from imdsv2.domain.history import History
from imdsv2.domain.instance import ENFORCED_TAG, Place, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.policy import Policy
from imdsv2.domain.request import Source
from imdsv2.domain.verdict import Reason
from imdsv2.line.evidence.gather import gather
from tests.integration.builders import NOW, ROLES, arn_of, asked
from tests.unit.builders import instance
from tests.world.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.aws.change_refusal import Refusal
    from imdsv2.domain.instance import Target
    from tests.integration.builders import Cloud, Stub

HERE = arn_of("1")
PLACE = Place(HERE.partition, HERE.region, HERE.account)
BURST = 100
A_SECOND = 5
"""ModifyInstanceMetadataOptions."""

DONE = (200, "<Response><instanceId>i-1</instanceId></Response>")
FAILED = (500, "<Response><Errors><Error><Code>InternalError</Code><Message>x</Message></Error></Errors></Response>")
THROTTLED = (
    503,
    "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>x</Message></Error></Errors></Response>",
)


@dataclass(slots=True)
class Wire:
    """AWS's answers: the prepared ones, then success."""

    answers: list[tuple[int, str] | Exception] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        """botocore's `before-send`."""
        self.sent.append(event_name.rpartition(".")[2])
        answer = self.answers.pop(0) if self.answers else DONE
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        raw: Any = io.BytesIO(body.encode())
        raw.stream = lambda: iter([raw.read()])
        return AWSResponse(request.url, status, HTTPHeaders(), raw)


class World:
    """Members behind a wire, with a clock that only waiting advances."""

    def __init__(self, stub: Stub) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self.wire = Wire()
        self.pacing = Pacing(share=1.0, clock=lambda: self.seconds, chance=lambda: 0.0)
        self.sts = stub.client("sts")
        self.stub = stub
        self.granted: list[str] = []
        self.clients = self.clients_of_a_new_function()

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.slept.append(seconds)
        self.seconds += seconds

    def clients_of_a_new_function(self) -> MemberClients:
        """Members without role sessions."""
        session = botocore.session.Session()
        sessions = (session, metrics_session(session))
        return MemberClients(*sessions, self.sts, ROLES, lambda: "request-1", Clock(NOW), self.pacing, self.sleep)

    def grant(self, role: str) -> None:
        """Let the next role be assumed."""
        credentials = {
            "AccessKeyId": f"{len(self.granted):A>20}",
            "SecretAccessKey": "secret",
            "SessionToken": "token",
            "Expiration": NOW + timedelta(hours=1),
        }
        self.granted.append(f"arn:aws:iam::{HERE.account}:role/imdsv2-remediation-{role}")
        asked = {"RoleArn": self.granted[-1], "RoleSessionName": "request-1"}
        self.stub.answer(self.sts, "assume_role", {"Credentials": credentials}, asked)

    def use_up(self, operation: str, costs: Iterable[float]) -> None:
        """Simulate calls that this function has just made."""
        for cost in costs:
            self.pacing.reserve(PLACE, operation, cost)

    def ec2(self) -> Any:
        """EC2 through the write role and the wire."""
        if not self.granted:
            self.grant("write")
        client: Any = self.clients.ec2(HERE, "write")
        client.meta.events.register("before-send", self.wire.answer, unique_id="wire")
        return client


@pytest.fixture
def world(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> World:
    """A member account whose roles can be assumed; botocore's own waiting takes no time."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return World(stub)


def change(client: Any, times: int = 1) -> None:
    """Send the call that requires tokens."""
    for _ in range(times):
        client.modify_instance_metadata_options(InstanceId=HERE.instance_id, HttpTokens="required")


def require(client: Any) -> Refusal | None:
    """The change as the pipeline makes it."""

    def look_again() -> Target:
        raise AssertionError("nobody asked for the endpoint")

    return action.require_tokens(client, look_again, instance(arn=HERE), NOW, None)


def test_calls_beyond_the_burst_wait_for_their_turn(world: World) -> None:
    """A hundred go at once; each further one waits a fifth of a second."""
    change(world.ec2(), BURST + 3)
    assert BURST + 3 == len(world.wire.sent)
    assert pytest.approx(3 / A_SECOND) == world.seconds


def test_another_role_session_does_not_begin_with_a_full_bucket(world: World) -> None:
    """The quota belongs to the account, not to the session."""
    change(world.ec2(), BURST)
    world.grant("write")
    world.clients = world.clients_of_a_new_function()
    change(world.ec2())
    assert pytest.approx(1 / A_SECOND) == world.seconds


def test_a_throttled_request_waits_for_its_turn_at_half_the_rate(world: World) -> None:
    """And so do the following requests: the burst is used up."""
    world.wire.answers = [THROTTLED]
    change(world.ec2())
    assert ["ModifyInstanceMetadataOptions"] * 2 == world.wire.sent
    assert pytest.approx(2 / A_SECOND) == world.seconds
    change(world.ec2())
    assert pytest.approx(4 / A_SECOND, rel=0.01) == world.seconds


def test_a_lost_request_takes_another_token_for_its_repeat(world: World) -> None:
    """EC2 counts requests, not calls."""
    world.wire.answers = [FAILED, FAILED]
    change(world.ec2(), BURST - 1)
    assert pytest.approx(1 / A_SECOND) == world.seconds


def test_what_is_refused_for_another_reason_is_not_taken_for_throttling(world: World) -> None:
    """A missing instance does not slow down other calls."""
    world.wire.answers = [(400, FAILED[1].replace("InternalError", "InvalidInstanceID.NotFound"))]
    with pytest.raises(ClientError, match="NotFound"):
        change(world.ec2())
    change(world.ec2(), BURST - 1)
    assert 0.0 == world.seconds


def test_what_ec2_throttles_to_the_last_is_held_for_a_quarter_of_an_hour(world: World) -> None:
    """It was certainly not done, and has not failed."""
    world.wire.answers = [THROTTLED] * 5
    refusal = require(world.ec2())
    assert refusal is not None
    assert (Reason.NOT_READY, None) == (refusal.verdict.reason, refusal.error)
    assert NOW + timedelta(minutes=15) == refusal.verdict.revisit_at
    assert (5, 5) == (len(world.wire.sent), len(world.slept)), "one wait before each request, none after the last"


@pytest.mark.parametrize("lost", [FAILED, ConnectTimeoutError(endpoint_url="https://ec2")])
def test_what_was_lost_and_then_throttled_is_in_doubt(lost: Any, world: World) -> None:
    """The first request may have been executed, so it must not be reported as not done."""
    world.wire.answers = [lost, *[THROTTLED] * 4]
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        require(world.ec2())


@pytest.mark.parametrize("lost", [FAILED, ConnectTimeoutError(endpoint_url="https://ec2")])
@pytest.mark.parametrize("code", ["IncorrectInstanceState", "UnauthorizedOperation", "InvalidInstanceID.NotFound"])
def test_what_was_lost_and_then_refused_is_in_doubt(code: str, lost: Any, world: World) -> None:
    """A refusal of the repetition says nothing of the first: to take it for the answer would leave a change unwatched."""
    refused = (400, f"<Response><Errors><Error><Code>{code}</Code><Message>x</Message></Error></Errors></Response>")
    world.wire.answers = [lost, refused]
    with pytest.raises(ClientError, match=code):
        require(world.ec2())


def test_what_is_in_doubt_is_sent_again_though_there_is_no_time_to_wait(world: World) -> None:
    """Only EC2's answer resolves the doubt."""
    client = world.ec2()
    change(client, BURST)
    world.sleep(1 / A_SECOND)
    world.pacing.end_in(0)
    world.wire.answers = [FAILED]
    assert None is require(client)
    assert BURST + 2 == len(world.wire.sent)


@pytest.mark.parametrize("answers", [[], [THROTTLED]])
def test_what_there_is_no_time_for_waits_until_there_is_room(answers: list[Any], world: World) -> None:
    """Whether it was never sent, or throttled and not sent again: it is held until the bucket has a token."""
    client = world.ec2()
    change(client, BURST - len(answers))
    world.pacing.end_in(0.05)
    world.wire.answers = list(answers)
    refusal = require(client)
    assert refusal is not None
    assert (Reason.NOT_READY, None) == (refusal.verdict.reason, refusal.error)
    assert refusal.verdict.revisit_at is not None
    assert timedelta(seconds=0.1) < refusal.verdict.revisit_at - NOW < timedelta(seconds=1)
    assert BURST == len(world.wire.sent)


def test_tags_that_are_throttled_are_not_tried_one_by_one(world: World) -> None:
    """Throttling says nothing about a single instance, and retries would use more of the quota."""
    world.wire.answers = [THROTTLED] * 5
    instances = [instance(arn=arn_of(name)) for name in "123"]
    refused = tagging.tag(world.ec2(), instances, NOW, {})
    assert [Reason.NOT_READY] * 3 == [refused[each.arn].verdict.reason for each in instances]
    assert ["CreateTags"] * 5 == world.wire.sent


def test_a_look_that_there_is_no_time_for_is_soon_taken_again(world: World) -> None:
    """Instances and metrics: held as throttled, not as refused."""
    client = world.ec2()
    world.use_up("DescribeInstances", [1.0] * 50)
    world.use_up("GetMetricData", [396_000.0])
    world.pacing.end_in(0)
    target = describe(client, [HERE])[HERE]
    assert isinstance(target, Unreachable)
    assert target.throttled
    world.grant("read")
    evidence = gather(world.clients.cloudwatch(HERE), [instance(arn=HERE)], {HERE: History()}, Policy(), NOW)[HERE]
    assert evidence.passes
    assert "QuotaExhausted" in str(evidence.problem)
    assert [] == world.wire.sent


def test_metrics_cost_their_datapoints(world: World) -> None:
    """A hundred days of an hourly metric of four instances are 9,600; that of one instance counts as one call."""
    world.grant("read")
    client: Any = world.clients.cloudwatch(HERE)
    client.meta.events.register("before-call", lambda **_: (SimpleNamespace(status_code=200), {}))
    for count in (4, 1):
        query = {"Id": "m", "MetricStat": {"Metric": {"MetricName": "m"}, "Period": 3600, "Stat": "Sum"}}
        queries = [query | {"Id": f"m{index}"} for index in range(count)]
        client.get_metric_data(MetricDataQueries=queries, StartTime=NOW - timedelta(days=100), EndTime=NOW)
    left = 396_000 - 9_600 - 7_920
    assert 0.0 == world.pacing.reserve(PLACE, "GetMetricData", left)
    assert world.pacing.reserve(PLACE, "GetMetricData", 396.0) == pytest.approx(0.001)


def test_what_has_to_wait_too_long_waits_in_the_ledger_and_is_done_later(cloud: Cloud) -> None:
    """Two of five fit into the quota; the others are neither failed nor forgotten, and have no tag."""
    arns = cloud.launch(count=5)
    pacing = Pacing(share=1.0, clock=lambda: 0.0, chance=lambda: 0.0)
    place = Place(arns[0].partition, arns[0].region, arns[0].account)
    for _ in range(BURST - 2):
        pacing.reserve(place, "ModifyInstanceMetadataOptions")
    pacing.end_in(0.001)
    requests = [asked(arn, Source.CONFIG) for arn in arns]
    outcomes = cloud.function(pacing).line.run(requests, "request-1")
    assert {} == outcomes.failed
    held = [arn for arn in arns if outcomes.judged[arn].status is Status.HELD]
    assert (3, 2) == (len(held), len(cloud.changes()))
    for arn in held:
        assert ("held", "not_ready") == (cloud.current(arn)["status"], cloud.current(arn)["reason"])
        assert cloud.current(arn)["revisit_at"] < (cloud.clock() + timedelta(minutes=1)).isoformat()
        assert ENFORCED_TAG not in cloud.tags(arn)
    cloud.clock.move(minutes=1)
    due = cloud.ledger().indexes.due(cloud.clock(), 10)
    assert set(held) == set(due)
    cloud.line().run([asked(arn, Source.REVISIT) for arn in due], "request-2")
    assert ["enforced"] * 5 == [cloud.current(arn)["status"] for arn in arns]
    assert sorted(arn.instance_id for arn in arns) == sorted(each["InstanceId"] for each in cloud.changes())
