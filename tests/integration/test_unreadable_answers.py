"""Answers that cannot be read are failures of a call, whatever in them cannot be read, and wherever it is met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.parsers import ResponseParserError

from imdsv2.aws.parsing import metrics_session, new_session
from tests.integration.builders import MEMBER, OTHER, REGION
from tests.integration.guarding import enforced, guard, live, reject
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

KEYS: dict[str, Any] = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
ONCE = Config(retries={"total_max_attempts": 1})


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Any:
        yield self._body


def answers(client: Any, body: bytes) -> Any:
    """A client that gets this answer to whatever it asks."""

    def answer(**_: Any) -> AWSResponse:
        return AWSResponse("https://aws", 200, HTTPHeaders(), _Raw(body))

    client.meta.events.register("before-send", answer)
    return client


def instances(launched: bytes, hops: bytes) -> bytes:
    """An answer to DescribeInstances with one instance."""
    return (
        b"<DescribeInstancesResponse><reservationSet><item><instancesSet><item><launchTime>"
        + launched
        + b"</launchTime>"
        b"<metadataOptions><httpPutResponseHopLimit>" + hops + b"</httpPutResponseHopLimit></metadataOptions>"
        b"</item></instancesSet></item></reservationSet></DescribeInstancesResponse>"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>502 Bad Gateway</body>",
        b"\xff\xfe\x00",
        instances(b"yesterday", b"1"),
        instances(b"2026-11-20T12:00:00Z", b"one"),
    ],
    ids=["empty", "no XML", "no text", "no time", "no number"],
)
def test_whatever_ec2_answers_one_error_comes_of_it(body: bytes) -> None:
    """Each is one of CALL_FAILURES, for which every caller is prepared."""
    client = answers(new_session().create_client("ec2", region_name=REGION, config=ONCE, **KEYS), body)
    with pytest.raises(ResponseParserError):
        client.describe_instances()


@pytest.mark.parametrize("service", ["dynamodb", "cloudwatch"])
def test_other_protocols_are_no_exception(service: str) -> None:
    """JSON, and whatever CloudWatch speaks."""
    session = metrics_session(new_session()) if service == "cloudwatch" else new_session()
    client = answers(session.create_client(service, region_name=REGION, config=ONCE, **KEYS), b"\xff\xfe{")
    with pytest.raises(ResponseParserError):
        client.list_tables() if service == "dynamodb" else client.list_metrics()


def test_a_readable_answer_is_read() -> None:
    """Nothing is in the way of it."""
    client = answers(
        new_session().create_client("ec2", region_name=REGION, config=ONCE, **KEYS),
        instances(b"2026-11-20T12:00:00Z", b"2"),
    )
    ((instance,),) = [each["Instances"] for each in client.describe_instances()["Reservations"]]
    assert 2 == instance["MetadataOptions"]["HttpPutResponseHopLimit"]


@pytest.mark.parametrize(
    "failure",
    [
        ResponseParserError("the answer cannot be read"),
        ValueError("Invalid timestamp"),
        refusal("InternalFailure", "x", "ListMetrics", status=500),
    ],
    ids=["unreadable", "of another shape", "server error"],
)
def test_one_account_whose_recall_fails_counts_and_hides_nothing(cloud: Cloud, failure: Exception) -> None:
    """What broke in the other account is put back in the same pass; the failing one is asked again at the next."""
    hidden, seen = (enforced(cloud, account=account) for account in (MEMBER, OTHER))
    for _ in range(3):
        live(cloud, hidden, seen, hours=24)
        guard(cloud)
    assert {"verified"} == {cloud.current(arn)["status"] for arn in (hidden, seen)}
    for arn in (hidden, seen):
        reject(cloud, arn)
    fails = [True]

    def fail(call: Call) -> None:
        if fails[0] and call.account == MEMBER:
            raise failure

    cloud.wire.on("ListMetrics", fail)
    done = guard(cloud, after=60)
    assert (1, 1) == (done.rolled_back, done.failed)
    assert ["required", "optional"] == [cloud.tokens(arn) for arn in (hidden, seen)]
    fails[0] = False
    done = guard(cloud)
    assert (1, 0) == (done.rolled_back, done.failed)
    assert "optional" == cloud.tokens(hidden)
