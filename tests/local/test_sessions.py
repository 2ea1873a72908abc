"""Sessions of roles that end before their time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.cloud.run import ADMINISTRATION, HOME, MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from local.cloud.run import LocalCloud

CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "ec2": ("describe_instances", {}, "RequestExpired"),
    "cloudwatch": ("list_metrics", {}, "ExpiredToken"),
    "sts": ("get_caller_identity", {}, "ExpiredToken"),
    "dynamodb": ("list_tables", {}, "ExpiredTokenException"),
}


@pytest.fixture
def lasting(cloud: LocalCloud) -> Iterator[LocalCloud]:
    """The server, whose sessions last as usual afterwards."""
    yield cloud
    cloud.sessions_last(None)


def opened(cloud: LocalCloud, **duration: Any) -> tuple[boto3.Session, float]:
    """A session of a member's administrator, and the second in which it ends."""
    role = f"arn:aws:iam::{MEMBERS[0]}:role/{ADMINISTRATION}"
    answer = cloud.session().client("sts").assume_role(RoleArn=role, RoleSessionName="test", **duration)
    keys = answer["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=HOME)
    ends: datetime = keys["Expiration"]
    return session, ends.timestamp()


@pytest.mark.parametrize("service", CALLS)
def test_keys_whose_session_has_ended_are_refused_as_aws_does_it(service: Any, lasting: LocalCloud) -> None:
    """Each service has its own code; and they stay known as ended, whatever is opened meanwhile."""
    operation, arguments, code = CALLS[service]
    client: Any = opened(lasting)[0].client(service, endpoint_url=lasting.endpoint)
    getattr(client, operation)(**arguments)
    lasting.end_sessions()
    opened(lasting)
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**arguments)
    assert code == refused.value.response["Error"]["Code"]


def test_sessions_last_as_long_as_they_are_told_to(lasting: LocalCloud) -> None:
    """And those that are opened for a time of their own, for that."""
    usual = opened(lasting)[1]
    lasting.sessions_last(605)
    short, own = opened(lasting)[1], opened(lasting, DurationSeconds=1800)[1]
    assert pytest.approx(3600 - 605, abs=10) == usual - short
    assert pytest.approx(1800 - 605, abs=10) == own - short
