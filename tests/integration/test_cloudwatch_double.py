"""The in-memory CloudWatch answers as moto's, an independent implementation of CloudWatch."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from imdsv2.domain.history import History
from imdsv2.domain.policy import Policy
from imdsv2.line.evidence.gather import gather
from tests.unit.builders import NOW, REGION, arn, instance
from tests.world.cloudwatch import HOUR, CloudWatch, hour_of

USE = "MetadataNoToken"
RAN = "CPUUtilization"


@pytest.fixture
def cloudwatch() -> CloudWatch:
    """An empty one."""
    return CloudWatch(lambda: NOW)


def hours(start: datetime, end: datetime) -> list[datetime]:
    """The start of every hour that overlaps the given time range."""
    first = hour_of(start)
    return [first + HOUR * number for number in range(math.ceil((end - first) / HOUR))]


def fill_both(double: CloudWatch, moto: Any, metric: str, instance_id: str, points: dict[datetime, float]) -> None:
    """Put the same datapoints into both."""
    data = [
        {
            "MetricName": metric,
            "Dimensions": [{"Name": "InstanceId", "Value": instance_id}],
            "Timestamp": when,
            "Value": value,
        }
        for when, value in points.items()
    ]
    moto.put_metric_data(Namespace="AWS/EC2", MetricData=data)
    for when, value in points.items():
        double.put(metric, instance_id, when, value)


def test_the_evidence_is_the_same_by_moto(cloudwatch: CloudWatch) -> None:
    """The whole query, against an independent implementation of CloudWatch."""
    policy = Policy(lookback_days=2, min_observed_hours=20)
    launched_at, first = NOW - timedelta(hours=7), NOW - timedelta(days=5)
    targets = [instance(arn=arn(each), launched_at=launched_at, first_launched_at=first) for each in range(1, 4)]
    histories = {target.arn: History() for target in targets}
    office_hours = [hour for hour in hours(NOW - timedelta(days=5), NOW) if hour.hour in range(7, 18)]
    with mock_aws():
        moto = boto3.client("cloudwatch", region_name=REGION)
        for target, value in zip(targets, (0.0, 2.0, 0.0), strict=True):
            points = dict.fromkeys(office_hours, 0.0) | {NOW - timedelta(days=4): value}
            fill_both(cloudwatch, moto, USE, target.arn.instance_id, points)
            fill_both(cloudwatch, moto, RAN, target.arn.instance_id, points)
        expected = gather(moto, targets, histories, policy, NOW)
    assert expected == gather(cloudwatch.client, targets, histories, policy, NOW)
    assert [0, 2, 0] == [expected[target.arn].older.calls for target in targets]
