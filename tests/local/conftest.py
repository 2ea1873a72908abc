"""One local AWS for all tests here, without the service: what we imitate is tested by itself."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from local.cloud.deploy import deploy_stack
from local.cloud.run import HOME, LocalCloud
from tests.local import chain_stack
from tests.local.model_check import check_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_securityhub import SecurityHubClient

_accounts = itertools.count(600000000000)


@pytest.fixture(scope="session")
def running() -> Iterator[LocalCloud]:
    """The server of this session of tests."""
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(running: LocalCloud) -> Iterator[LocalCloud]:
    """The server, without faults before and after."""
    yield running
    running.faults()


@pytest.fixture
def account() -> str:
    """An account that no other test uses."""
    return str(next(_accounts))


@pytest.fixture
def ec2(cloud: LocalCloud, account: str) -> EC2Client:
    """EC2 in an account of its own; an answer that the model does not know fails the test."""
    client: EC2Client = check_answers(cloud.session(account=account).client("ec2"))
    return client


@pytest.fixture
def cloudwatch(cloud: LocalCloud, account: str) -> CloudWatchClient:
    """CloudWatch in an account of its own."""
    return cloud.session(account=account).client("cloudwatch")


@pytest.fixture
def hub(cloud: LocalCloud, account: str) -> SecurityHubClient:
    """Security Hub in an account of its own; an answer that the model does not know fails the test."""
    client: SecurityHubClient = check_answers(cloud.session(account=account).client("securityhub"))
    return client


@pytest.fixture(scope="session")
def chain(running: LocalCloud) -> dict[str, str]:
    """The outputs of the small stack that tries the chain."""
    session = running.session()
    s3 = session.client("s3")
    s3.create_bucket(Bucket=chain_stack.CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": HOME})
    s3.put_object(Bucket=chain_stack.CODE_BUCKET, Key=chain_stack.CODE_KEY, Body=chain_stack.code())
    return deploy_stack(session, "chain", TemplateBody=chain_stack.template())
