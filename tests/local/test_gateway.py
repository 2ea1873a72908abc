"""Counting calls, and faults on demand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from local.cloud.run import LocalCloudError
from tests.local.launching import Refused, describe, launch

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from local.cloud.run import LocalCloud

ONCE = Config(retries={"total_max_attempts": 1})
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "ec2": ("describe_instances", {}),
    "cloudwatch": ("list_metrics", {"Namespace": "AWS/EC2"}),
    "dynamodb": ("list_tables", {}),
    "securityhub": ("get_findings", {}),
    "sts": ("get_caller_identity", {}),
    "ssm": ("describe_parameters", {}),
    "sqs": ("list_queues", {}),
    "sns": ("list_topics", {}),
}
ACTIONS = {
    "ec2": "DescribeInstances",
    "cloudwatch": "ListMetrics",
    "dynamodb": "ListTables",
    "securityhub": "GetFindings",
    "sts": "GetCallerIdentity",
    "ssm": "DescribeParameters",
    "sqs": "ListQueues",
    "sns": "ListTopics",
}


def _call(cloud: LocalCloud, account: str, service: Any, region: str = "eu-west-1") -> None:
    operation, arguments = CALLS[service]
    getattr(cloud.session(account=account, region=region).client(service, config=ONCE), operation)(**arguments)


def test_calls_are_counted_by_account_region_service_and_action(cloud: LocalCloud, account: str) -> None:
    """Whatever protocol the service speaks, until the next reset."""
    cloud.calls(reset=True)
    for service in CALLS:
        _call(cloud, account, service)
    _call(cloud, account, "ec2", region="us-east-1")
    _call(cloud, account, "ec2")
    counted = {
        (each["region"], each["service"], each["action"]): each["calls"]
        for each in cloud.calls()
        if each["account"] == account
    }
    once = {("eu-west-1", service, ACTIONS[service]): 1 for service in CALLS}
    assert (
        once | {("eu-west-1", "ec2", "DescribeInstances"): 2, ("us-east-1", "ec2", "DescribeInstances"): 1} == counted
    )
    cloud.calls(reset=True)
    assert [] == cloud.calls()


@pytest.mark.parametrize("service", sorted(CALLS))
def test_a_fault_is_understood_by_the_services_own_client(cloud: LocalCloud, account: str, service: str) -> None:
    """Each protocol has its own way to say an error."""
    cloud.faults(
        [
            {
                "service": service,
                "action": ACTIONS[service],
                "error": "RequestLimitExceeded",
                "message": "slow down",
                "status": 503,
            }
        ]
    )
    with Refused() as refusal:
        _call(cloud, account, service)
    assert ("RequestLimitExceeded", "slow down", 503) == (refusal.code, refusal.message, refusal.status)
    cloud.faults()
    _call(cloud, account, service)


def test_a_fault_meets_only_what_it_names(cloud: LocalCloud, account: str) -> None:
    """By account, Region, service and action."""
    cloud.faults([{"account": account, "region": "us-east-1", "service": "ec2", "error": "Unavailable", "status": 503}])
    _call(cloud, account, "ec2")
    _call(cloud, account, "sts", region="us-east-1")
    with Refused() as refusal:
        _call(cloud, account, "ec2", region="us-east-1")
    assert "Unavailable" == refusal.code


def test_a_fault_can_begin_late_and_end_early(cloud: LocalCloud, account: str) -> None:
    """After so many calls, for so many."""
    cloud.faults([{"account": account, "error": "Throttling", "only_after": 1, "times": 2}])
    outcomes = []
    for _ in range(5):
        try:
            _call(cloud, account, "ec2")
        except Exception as error:  # noqa: BLE001 - any refusal counts
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("ok")
    assert ["ok", "ClientError", "ClientError", "ok", "ok"] == outcomes


def test_a_share_of_calls_can_fail(cloud: LocalCloud, account: str) -> None:
    """Some, not all."""
    cloud.faults([{"account": account, "error": "Throttling", "share": 0.5}])
    failed = 0
    for _ in range(40):
        try:
            _call(cloud, account, "sts")
        except Exception:  # noqa: BLE001 - any refusal counts
            failed += 1
    assert 5 < failed < 35


def test_calls_can_be_slow(cloud: LocalCloud, account: str) -> None:
    """By as many milliseconds as were asked for."""
    cloud.faults([{"account": account, "latency_ms": 300}])
    began = time.monotonic()
    _call(cloud, account, "ec2")
    assert 0.3 <= time.monotonic() - began


def test_a_fault_that_is_misspelt_is_refused(cloud: LocalCloud) -> None:
    """A test with a typo must not pass for want of a fault."""
    with pytest.raises(LocalCloudError, match="no field acction"):
        cloud.faults([{"acction": "DescribeInstances"}])


def test_an_answer_can_be_rewritten_for_one_request(cloud: LocalCloud, ec2: EC2Client, account: str) -> None:
    """By what the request says; instances are named, as their ids are not known before they are launched."""
    rewrite = ["<httpPutResponseHopLimit>1<", "<httpPutResponseHopLimit>7<"]
    cloud.faults([{"account": account, "service": "ec2", "request": "{instance one}", "rewrite": rewrite}])
    ids = [launch(ec2, tags={"Name": name})[0] for name in ("one", "other")]
    assert [7, 1] == [describe(ec2, each)["MetadataOptions"]["HttpPutResponseHopLimit"] for each in ids]


def test_a_fault_with_a_name_that_nothing_bears_meets_nothing(cloud: LocalCloud, ec2: EC2Client, account: str) -> None:
    """And not everything: it meets the instance once that bears the name."""
    cloud.faults([{"account": account, "request": "InstanceId.1={instance one}", "error": "Throttling"}])
    [other] = launch(ec2, tags={"Name": "other"})
    assert other == describe(ec2, other)["InstanceId"]
    [one] = launch(ec2, tags={"Name": "one"})
    with Refused() as refusal:
        describe(cloud.session(account=account).client("ec2", config=ONCE), one)
    assert "Throttling" == refusal.code


def test_a_fault_can_begin_with_another_call(cloud: LocalCloud, account: str) -> None:
    """In the same account, once that call was made."""
    cloud.faults([{"account": account, "service": "ec2", "since": "GetCallerIdentity", "error": "Throttling"}])
    _call(cloud, account, "ec2")
    _call(cloud, "444444444444", "sts")
    _call(cloud, account, "ec2")
    _call(cloud, account, "sts")
    with Refused() as refusal:
        _call(cloud, account, "ec2")
    assert "Throttling" == refusal.code
