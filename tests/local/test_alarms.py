"""Alarms of the local AWS: which data points count, what missing ones mean, who is told; and metrics that services publish."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from local.cloud.deploy import deploy_stack
from local.cloud.run import HOME, SECURITY, LocalCloudError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.cloud.run import LocalCloud

PERIOD = 300
METRIC = {"Namespace": "Tried", "Dimensions": [{"Name": "of", "Value": "one"}]}


def _publish(cloud: LocalCloud, name: str, values: Sequence[float | None], *, of: str = "one") -> None:
    """One value a period, the newest first; None: no data point."""
    data: list[Any] = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "of", "Value": of}],
            "Value": value,
            "Timestamp": datetime.now(UTC) - timedelta(seconds=PERIOD * number + PERIOD // 2),
        }
        for number, value in enumerate(values)
        if value is not None
    ]
    if data:
        cloud.session().client("cloudwatch").put_metric_data(Namespace="Tried", MetricData=data)


def _alarm(cloud: LocalCloud, name: str, *, missing: str, periods: int = 1, topic: str = "") -> None:
    """Raised at 1 and above."""
    alarm: dict[str, Any] = {
        "AlarmName": name,
        "MetricName": name,
        **METRIC,
        "TreatMissingData": missing,
        "Period": PERIOD,
    }
    cloud.session().client("cloudwatch").put_metric_alarm(
        **alarm,
        Statistic="Sum",
        EvaluationPeriods=periods,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        AlarmActions=[topic] if topic else [],
    )


# The rows of AWS's page on missing data: five periods, three of which are needed; and the same for one of three.
@pytest.mark.parametrize(
    ("periods", "newest_first", "states"),
    [
        (3, [1, None, 1, None, 0], ["OK", "OK", "OK", "OK"]),
        (3, [None, None, None, None, 0], ["OK", "OK", "OK", "OK"]),
        (3, [None, None, None, None, None], ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "ALARM", "OK"]),
        (3, [1, None, 1, 1, 0], ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (1, [None, 1, None], ["ALARM", "ALARM", "ALARM", "ALARM"]),
        (1, [None, 0, 1], ["OK", "OK", "OK", "OK"]),
        (1, [None, None, None], ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA", "ALARM", "OK"]),
    ],
)
def test_missing_data_count_as_aws_documents(
    cloud: LocalCloud, periods: int, newest_first: list[float | None], states: list[str]
) -> None:
    """Older data points stand in for missing ones; how these are treated counts only when there are too few."""
    seen = []
    for missing in ("missing", "ignore", "breaching", "notBreaching"):
        name = f"{missing}-{periods}-{'-'.join(map(str, newest_first))}"
        _publish(cloud, name, newest_first)
        _alarm(cloud, name, missing=missing, periods=periods)
        seen.append(cloud.alarms(name)[name])
    assert states == seen


def test_dimensions_and_time_decide_which_data_count(cloud: LocalCloud) -> None:
    """What is published about something else is not counted, nor what has become old."""
    _alarm(cloud, "of-one", missing="notBreaching")
    _publish(cloud, "of-one", [1], of="other")
    assert {"of-one": "OK"} == cloud.alarms("of-one")
    _publish(cloud, "of-one", [1])
    assert {"of-one": "ALARM"} == cloud.alarms("of-one")
    assert {"of-one": "OK"} == cloud.alarms("of-one", passed=3600)


def test_an_expression_fills_gaps_and_adds_up(cloud: LocalCloud) -> None:
    """Silence is a zero at once, whatever came before it."""

    def watched(ident: str, of: str) -> dict[str, Any]:
        metric = {"Namespace": "Tried", "MetricName": "Filled", "Dimensions": [{"Name": "of", "Value": of}]}
        return {"Id": ident, "MetricStat": {"Metric": metric, "Period": PERIOD, "Stat": "Sum"}, "ReturnData": False}

    def alarm(name: str, expression: str, comparison: str, threshold: int) -> dict[str, Any]:
        metrics = [{"Id": "e", "Expression": expression}, watched("m0", "one"), watched("m1", "two")]
        properties = {"AlarmName": name, "Metrics": metrics, "EvaluationPeriods": 1, "Threshold": threshold}
        return {"Type": "AWS::CloudWatch::Alarm", "Properties": {**properties, "ComparisonOperator": comparison}}

    resources = {
        "Silent": alarm("is-silent", "FILL(m0, 0)", "LessThanThreshold", 1),
        "Many": alarm("are-many", "SUM(FILL(METRICS(), 0))", "GreaterThanOrEqualToThreshold", 3),
    }
    deploy_stack(cloud.session(), "filled", TemplateBody=json.dumps({"Resources": resources}))
    _publish(cloud, "Filled", [None, 5])
    assert {"is-silent": "ALARM", "are-many": "OK"} == cloud.alarms("is-silent", "are-many")
    _publish(cloud, "Filled", [1])
    _publish(cloud, "Filled", [2], of="two")
    assert {"is-silent": "OK", "are-many": "ALARM"} == cloud.alarms("is-silent", "are-many")


def test_a_topic_is_told_once(cloud: LocalCloud) -> None:
    """When the state changes, and not at every evaluation."""
    session = cloud.session()
    topic = session.client("sns").create_topic(Name="alarmed")["TopicArn"]
    arn = f"arn:aws:sqs:{HOME}:{SECURITY}:alarmed"
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**allow, "Action": "sqs:SendMessage"}]})
    queue = session.client("sqs").create_queue(QueueName="alarmed", Attributes={"Policy": policy})["QueueUrl"]
    session.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    _alarm(cloud, "told", missing="notBreaching", topic=topic)
    _publish(cloud, "told", [4])
    cloud.alarms("told")
    cloud.alarms("told")
    told = session.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert ["ALARM"] == [json.loads(json.loads(each["Body"])["Message"])["NewStateValue"] for each in told]


def test_an_alarm_that_is_not_there_is_named(cloud: LocalCloud) -> None:
    """A typing error in a test is no silent success."""
    with pytest.raises(LocalCloudError, match="no alarm nothing"):
        cloud.alarms("nothing")


def test_queues_are_measured_with_their_messages_growing_older(cloud: LocalCloud) -> None:
    """As SQS publishes it every minute: how many wait, and the age of the oldest."""
    url = cloud.session().client("sqs").create_queue(QueueName="measured")["QueueUrl"]
    cloud.session().client("sqs").send_message(QueueUrl=url, MessageBody="x")
    dimensions: list[Any] = [{"Name": "QueueName", "Value": "measured"}]
    for name, threshold in (("ApproximateNumberOfMessagesVisible", 1), ("ApproximateAgeOfOldestMessage", 3600)):
        cloud.session().client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SQS",
            MetricName=name,
            Dimensions=dimensions,
            Statistic="Maximum",
            Period=PERIOD,
            EvaluationPeriods=1,
            Threshold=threshold,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
    count, age = "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"
    assert {count: "ALARM", age: "OK"} == cloud.alarms(count, age)
    assert {count: "ALARM", age: "ALARM"} == cloud.alarms(count, age, passed=3700)
