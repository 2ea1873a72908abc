"""The metric store behind CloudWatch's API: periods, statistics, pages, memory, and answers that are incomplete."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import botocore.loaders
import botocore.session
import pytest
from moto import mock_aws

from tests.local.launching import Refused, launch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client

    from local.cloud.run import LocalCloud

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
INSTANCE = "i-0123456789abcdef0"


def _this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def _datum(at: datetime, instance: str = INSTANCE, **values: Any) -> Any:
    dimensions = [{"Name": "InstanceId", "Value": instance}]
    return {"MetricName": "MetadataNoToken", "Dimensions": dimensions, "Timestamp": at, **(values or {"Value": 1.0})}


def _put(client: CloudWatchClient, data: Sequence[Any]) -> None:
    client.put_metric_data(Namespace="AWS/EC2", MetricData=data)


def _query(instance: str = INSTANCE, *, period: int = 3600, stat: str = "Sum", name: str = "m0") -> Any:
    metric = {
        "Namespace": "AWS/EC2",
        "MetricName": "MetadataNoToken",
        "Dimensions": [{"Name": "InstanceId", "Value": instance}],
    }
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def _get(client: CloudWatchClient, queries: Sequence[Any], start: datetime, end: datetime, **more: Any) -> Any:
    return client.get_metric_data(
        MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending", **more
    )


def _values(client: CloudWatchClient, query: Any, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
    [result] = _get(client, [query], start, end)["MetricDataResults"]
    return list(zip(result["Timestamps"], result["Values"], strict=True))


@pytest.mark.parametrize(
    ("stat", "value"), [("Sum", 24.0), ("SampleCount", 6.0), ("Average", 4.0), ("Minimum", 1.0), ("Maximum", 9.0)]
)
def test_statistics_of_everything_published_in_a_period(cloudwatch: CloudWatchClient, stat: str, value: float) -> None:
    """Single values, values with counts and statistic sets add up to one period."""
    hour = _this_hour() - 3 * HOUR
    statistic_set = {"Sum": 15.0, "SampleCount": 3.0, "Minimum": 2.0, "Maximum": 9.0}
    _put(cloudwatch, [_datum(hour, Value=3.0), _datum(hour + HOUR / 4, Values=[1.0, 5.0], Counts=[1.0, 1.0])])
    _put(cloudwatch, [_datum(hour + HOUR / 2, StatisticValues=statistic_set)])
    assert [(hour, value)] == _values(cloudwatch, _query(stat=stat), hour, hour + HOUR)


def test_the_same_points_give_the_same_sums_in_moto(cloudwatch: CloudWatchClient) -> None:
    """Periods that start at the hour, the end exclusive, no period without points."""
    start = _this_hour() - 10 * HOUR
    data = [_datum(start + minutes * timedelta(minutes=1), Value=float(minutes)) for minutes in (0, 59, 61, 200, 599)]
    queries = [
        _query(stat=stat, name=stat.lower(), period=period)
        for stat, period in (("Sum", 3600), ("Average", 7200), ("Maximum", 300))
    ]
    _put(cloudwatch, data)
    ours = _get(cloudwatch, queries, start, start + 10 * HOUR)["MetricDataResults"]
    with mock_aws():
        moto = boto3.client("cloudwatch", region_name="eu-west-1")
        _put(moto, data)
        theirs = _get(moto, queries, start, start + 10 * HOUR)["MetricDataResults"]
    names = ("Id", "StatusCode", "Timestamps", "Values")
    assert [[each[name] for name in names] for each in theirs] == [[each[name] for name in names] for each in ours]


@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "json", "query"])
def test_every_protocol_says_the_same(cloud: LocalCloud, account: str, protocol: str) -> None:
    """Today's clients speak CBOR, older ones the query protocol."""
    client = _speaking(protocol, cloud, account)
    hour = _this_hour() - HOUR
    _put(client, [_datum(hour, Value=2.5), _datum(hour, Values=[1.0, 2.0], Counts=[2.0, 1.0])])
    assert [(hour, 6.5)] == _values(client, _query(), hour, hour + HOUR)
    with Refused() as refusal:
        _get(client, [_query(period=61)], hour, hour + HOUR)
    assert "ValidationError" == refusal.code
    statistics = client.get_metric_statistics(
        Namespace="AWS/EC2",
        MetricName="MetadataNoToken",
        Dimensions=[{"Name": "InstanceId", "Value": INSTANCE}],
        StartTime=hour,
        EndTime=hour + HOUR,
        Period=3600,
        Statistics=["Sum"],
    )
    assert [(hour, 6.5)] == [(point["Timestamp"], point["Sum"]) for point in statistics["Datapoints"]]
    assert ["MetadataNoToken"] == [
        metric["MetricName"] for metric in client.list_metrics(Namespace="AWS/EC2")["Metrics"]
    ]


def test_metrics_are_listed_by_name_as_moto_lists_them(cloudwatch: CloudWatchClient) -> None:
    """Whatever has points, with its dimensions."""

    def listed(client: CloudWatchClient) -> list[Any]:
        _put(client, [_datum(_this_hour(), Value=1.0)])
        return client.list_metrics(Namespace="AWS/EC2", MetricName="MetadataNoToken")["Metrics"]

    with mock_aws():
        theirs = listed(boto3.client("cloudwatch", region_name="eu-west-1"))
    assert theirs == listed(cloudwatch)


def test_what_has_had_points_of_late_can_be_told_from_the_rest(cloudwatch: CloudWatchClient) -> None:
    """Three hours back, which is all that CloudWatch takes; 500 metrics a page."""
    now = datetime.now(UTC)
    ids = [f"i-{number:017x}" for number in range(600)]
    recent = [_datum(now - timedelta(hours=2), each) for each in ids]
    _put(cloudwatch, [*recent, _datum(now - timedelta(hours=4), "i-old")])
    asked: Any = {"Namespace": "AWS/EC2", "MetricName": "MetadataNoToken", "RecentlyActive": "PT3H"}
    pages = list(cloudwatch.get_paginator("list_metrics").paginate(**asked))
    assert [500, 100] == [len(page["Metrics"]) for page in pages]
    named = [each["Dimensions"][0]["Value"] for page in pages for each in page["Metrics"]]
    assert ids == named
    with Refused() as refusal:
        cloudwatch.list_metrics(**{**asked, "RecentlyActive": "PT1H"})
    assert "InvalidParameterValue" == refusal.code


def _speaking(protocol: str, cloud: LocalCloud, account: str) -> CloudWatchClient:
    class OneProtocol(botocore.loaders.Loader):
        def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
            model = copy.copy(super().load_service_model(service_name, type_name, api_version))
            if "metadata" in model:
                model["metadata"] = {**model["metadata"], "protocol": protocol, "protocols": [protocol]}
            return model

    core = botocore.session.Session()
    core.register_component("data_loader", OneProtocol([botocore.loaders.Loader.BUILTIN_DATA_PATH]))
    session = boto3.Session(account, "test", region_name="eu-west-1", botocore_session=core)
    return session.client("cloudwatch", endpoint_url=cloud.endpoint)


def test_a_page_ends_at_100800_points(cloud: LocalCloud, cloudwatch: CloudWatchClient, account: str) -> None:
    """Where that falls within a metric, what is there of it is partial, and the next page has the rest."""
    hours = 850
    start = _this_hour() - hours * HOUR
    instances = [f"i-{number:017x}" for number in range(120)]
    series = {instance: [(int(start.timestamp()), [0.0] * hours)] for instance in instances}
    cloud.history("MetadataNoToken", series, account=account, region="eu-west-1")
    queries = [_query(instance, name=f"m{number}") for number, instance in enumerate(instances)]
    first = _get(cloudwatch, queries, start, _this_hour())
    second = _get(cloudwatch, queries, start, _this_hour(), NextToken=first["NextToken"])
    assert 100_800 == sum(len(each["Values"]) for each in first["MetricDataResults"])
    assert ("m118", "PartialData", 500) == _shape(first["MetricDataResults"][-1])
    assert [("m118", "Complete", 350), ("m119", "Complete", 850)] == [
        _shape(each) for each in second["MetricDataResults"]
    ]
    assert "NextToken" not in second


def test_instances_with_one_past_part_when_one_of_them_publishes(
    cloud: LocalCloud, cloudwatch: CloudWatchClient, account: str
) -> None:
    """A past loaded for many is kept once; what is published or loaded later belongs to one of them alone."""
    hour = _this_hour() - HOUR
    instances = [f"i-{number:017x}" for number in range(3)]
    past = {instance: [(int((hour - HOUR).timestamp()), [1.0])] for instance in instances}
    cloud.history("MetadataNoToken", past, account=account, region="eu-west-1")
    _put(cloudwatch, [_datum(hour, instance=instances[1], Value=5.0)])
    more = {instances[2]: [(int(hour.timestamp()), [7.0])]}
    cloud.history("MetadataNoToken", more, account=account, region="eu-west-1")
    seen = [[value for _, value in _values(cloudwatch, _query(each), hour - HOUR, hour + HOUR)] for each in instances]
    assert [[1.0], [1.0, 5.0], [1.0, 7.0]] == seen


def test_instances_with_one_past_have_one_in_common_with_what_follows_it(
    cloud: LocalCloud, cloudwatch: CloudWatchClient, account: str
) -> None:
    """What is loaded for several goes to these and to nobody else, and parts none of them from the others."""
    hour = _this_hour() - HOUR
    instances = [f"i-{number:017x}" for number in range(4)]

    def load(several: list[str], at: datetime, value: float) -> None:
        series = {each: [(int(at.timestamp()), [value])] for each in several}
        cloud.history("MetadataNoToken", series, account=account, region="eu-west-1")

    load(instances[:3], hour - HOUR, 1.0)
    load(instances[1:], hour, 2.0)
    _put(cloudwatch, [_datum(hour + timedelta(minutes=5), instance=instances[2], Value=3.0)])
    load(instances[1:3], hour, 4.0)
    seen = [[value for _, value in _values(cloudwatch, _query(each), hour - HOUR, hour + HOUR)] for each in instances]
    assert [[1.0], [1.0, 6.0], [1.0, 9.0], [2.0]] == seen


def _shape(result: Any) -> tuple[str, str, int]:
    return result["Id"], result["StatusCode"], len(result["Values"])


@pytest.mark.parametrize(
    ("days", "period", "seen"),
    [
        (14, 60, True),
        (16, 60, False),
        (16, 300, True),
        (62, 300, True),
        (64, 300, False),
        (64, 3600, True),
        (450, 3600, True),
    ],
)
def test_old_points_are_seen_in_long_periods_only(
    cloudwatch: CloudWatchClient, days: int, period: int, seen: bool
) -> None:
    """One minute for 15 days, five minutes for 63, an hour for 455."""
    then = _this_hour() - days * DAY
    _put(cloudwatch, [_datum(then)])
    assert seen == bool(_values(cloudwatch, _query(period=period), then, then + HOUR))


def test_points_older_than_the_memory_are_refused(cloudwatch: CloudWatchClient) -> None:
    """455 days is as far as anybody could ask."""
    with Refused() as refusal:
        _put(cloudwatch, [_datum(_this_hour() - 456 * DAY)])
    assert "InvalidParameterValue" == refusal.code


@pytest.mark.parametrize(("age", "rounded_to"), [(DAY, 60), (20 * DAY, 300), (70 * DAY, 3600)])
def test_a_start_is_rounded_down_by_its_age(cloudwatch: CloudWatchClient, age: timedelta, rounded_to: int) -> None:
    """To the minute, to five minutes, to the hour; periods are counted from there."""
    hour = _this_hour() - age
    _put(cloudwatch, [_datum(hour + timedelta(minutes=30))])
    start = hour + timedelta(minutes=8, seconds=20)
    [(begins, _)] = _values(cloudwatch, _query(), start, start + 2 * HOUR)
    assert int(start.timestamp()) // rounded_to * rounded_to == int(begins.timestamp())


@pytest.mark.parametrize(("status", "points"), [("PartialData", 2), ("InternalError", 0), ("Forbidden", 0)])
def test_a_tag_makes_answers_incomplete(ec2: EC2Client, cloudwatch: CloudWatchClient, status: str, points: int) -> None:
    """The other instances of the same call are answered completely."""
    [bad], [good] = launch(ec2, tags={"local:metrics": status}), launch(ec2)
    end = _this_hour()
    _put(cloudwatch, [_datum(end - hour * HOUR, instance) for hour in range(1, 5) for instance in (bad, good)])
    results = _get(cloudwatch, [_query(bad), _query(good, name="m1")], end - 5 * HOUR, end)["MetricDataResults"]
    assert [("m0", status, points), ("m1", "Complete", 4)] == [_shape(each) for each in results]


@pytest.mark.parametrize(
    "change",
    [
        {"MetricDataQueries": [_query(name=f"m{number}") for number in range(501)]},
        {"MetricDataQueries": [_query(), _query()]},
        {"MetricDataQueries": [_query(name="M0")]},
        {"MetricDataQueries": [_query(period=90)]},
        {"EndTime": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
    ids=["too many", "same id", "id in capitals", "odd period", "ends before it starts"],
)
def test_what_cloudwatch_refuses_to_read(cloudwatch: CloudWatchClient, change: dict[str, Any]) -> None:
    """All of it as `ValidationError`."""
    asked: Any = {"MetricDataQueries": [_query()], "StartTime": _this_hour() - DAY, "EndTime": _this_hour(), **change}
    with Refused() as refusal:
        cloudwatch.get_metric_data(**asked)
    assert "ValidationError" == refusal.code


def test_regions_are_apart(cloud: LocalCloud, cloudwatch: CloudWatchClient, account: str) -> None:
    """A metric is where it was published."""
    hour = _this_hour() - HOUR
    _put(cloudwatch, [_datum(hour)])
    elsewhere = cloud.session(account=account, region="us-east-1").client("cloudwatch")
    assert [] == _values(elsewhere, _query(), hour, hour + HOUR)


def test_other_namespaces_stay_with_ministack(cloudwatch: CloudWatchClient) -> None:
    """Alarms look there."""
    hour = _this_hour() - HOUR
    cloudwatch.put_metric_data(
        Namespace="Imdsv2Remediation", MetricData=[{"MetricName": "Verdicts", "Value": 3.0, "Timestamp": hour}]
    )
    query: Any = {
        "Id": "m0",
        "MetricStat": {
            "Metric": {"Namespace": "Imdsv2Remediation", "MetricName": "Verdicts"},
            "Period": 60,
            "Stat": "Sum",
        },
    }
    [result] = _get(cloudwatch, [query], hour - HOUR, hour + HOUR)["MetricDataResults"]
    assert [3.0] == result["Values"]
