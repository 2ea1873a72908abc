"""Checks of CloudWatch: the metrics of instances as the service reads them, its limits, and what has news."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.aws.cloudwatch import REJECTED_CALLS, TOKENLESS_CALLS, UTILIZATION, instances_with_news, read
from imdsv2.domain.evidence.hours import Hours
from tests.world.conformance.asking import arn_of, code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.aws.cloudwatch import Metric
    from tests.world.conformance.clouds import Cloud

ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WEEK_SECONDS = 7 * 24 * 3600


# --- Datapoints ----------------------------------------------------------------------------------------------------


def hourly_sums(cloud: Cloud) -> Any:
    """Hours without a datapoint are not there, those of zero are; the end is exclusive; other metrics count apart."""
    hour = _hour(cloud) - 10 * HOUR
    points = {0: 1.0, 59: 2.0, 60: 0.0, 185: 3.0, 599: 4.0, 600: 5.0}
    _put(cloud, TOKENLESS_CALLS, ONE, {hour + minutes * MINUTE: value for minutes, value in points.items()})
    _put(cloud, REJECTED_CALLS, ONE, {hour: 7.0})
    return _read(cloud, TOKENLESS_CALLS, {ONE: (hour, 10), TWO: (hour, 10)}, hour)


def each_instance_over_its_own_hours(cloud: Cloud) -> Any:
    """Several to a call, which asks for the time range of all."""
    hour = _hour(cloud) - 10 * HOUR
    for instance_id, value in ((ONE, 1.0), (TWO, 2.0)):
        _put(cloud, TOKENLESS_CALLS, instance_id, {hour + number * HOUR: value for number in range(10)})
    return _read(cloud, TOKENLESS_CALLS, {ONE: (hour, 4), TWO: (hour + 6 * HOUR, 4)}, hour)


def sums_of_five_minutes(cloud: Cloud) -> Any:
    """By the second in which their period begins."""
    hour = _hour(cloud) - 3 * HOUR
    _put(cloud, REJECTED_CALLS, ONE, {hour + minutes * MINUTE: 1.0 for minutes in (0, 4, 5, 9, 61, 119)})
    return _read(cloud, REJECTED_CALLS, {ONE: (hour, 2)}, hour, period=300)


def sums_of_weeks(cloud: Cloud) -> Any:
    """Counted from the start that is asked for, whatever day that is."""
    hour = _hour(cloud) - 30 * DAY
    _put(cloud, TOKENLESS_CALLS, ONE, {hour + hours * HOUR: 1.0 for hours in (0, 167, 168, 400, 719)})
    return _read(cloud, TOKENLESS_CALLS, {ONE: (hour, 720)}, hour, period=WEEK_SECONDS)


def sums_of_days(cloud: Cloud) -> Any:
    """Counted from the start that is asked for, whatever hour that is."""
    hour = _hour(cloud) - 4 * DAY
    _put(cloud, TOKENLESS_CALLS, ONE, {hour + hours * HOUR: 1.0 for hours in (0, 23, 24, 80)})
    return _series(cloud, [_query(ONE, period=86400)], hour, hour + 4 * DAY)


def statistics_of_several_samples(cloud: Cloud) -> Any:
    """An average is of the samples, also where two of them fall into one minute."""
    hour = _hour(cloud) - 5 * HOUR
    for minutes, value in ((0, 1.0), (0, 3.0), (30, 8.0), (70, 5.0)):
        _put(cloud, UTILIZATION, ONE, {hour + minutes * MINUTE: value})
    queries = [_query(ONE, UTILIZATION, stat=stat, name=stat.lower()) for stat in ("Sum", "SampleCount", "Average")]
    return _read(cloud, UTILIZATION, {ONE: (hour, 5)}, hour), _series(cloud, queries, hour, hour + 5 * HOUR)


def newest_first_unless_asked_otherwise(cloud: Cloud) -> Any:
    """The order in which the service gets them, and the other one."""
    hour = _hour(cloud) - 5 * HOUR
    _put(cloud, TOKENLESS_CALLS, ONE, {hour + number * HOUR: float(number) for number in range(5)})
    orders: list[dict[str, str]] = [{}, {"ScanBy": "TimestampDescending"}, {"ScanBy": "TimestampAscending"}]
    return [_series(cloud, [_query(ONE)], hour, hour + 5 * HOUR, **order) for order in orders]


def old_hours(cloud: Cloud) -> Any:
    """As far back as the metric's memory reaches, in the periods that are kept so long."""
    then = _hour(cloud) - 454 * DAY
    month = _hour(cloud) - 30 * DAY
    _put(cloud, TOKENLESS_CALLS, ONE, {then: 1.0, then + HOUR: 2.0})
    _put(cloud, REJECTED_CALLS, ONE, {month + 7 * MINUTE: 3.0})
    hourly = _read(cloud, TOKENLESS_CALLS, {ONE: (then - HOUR, 4)}, then)
    return hourly, _read(cloud, REJECTED_CALLS, {ONE: (month, 1)}, month, period=300)


def periods_that_are_no_longer_kept(cloud: Cloud) -> Any:
    """Minutes of more than fifteen days ago."""
    then = _hour(cloud) - 16 * DAY
    _put(cloud, TOKENLESS_CALLS, ONE, {then: 1.0})
    return _series(cloud, [_query(ONE, period=60)], then, then + HOUR)


def a_start_is_rounded_down_by_its_age(cloud: Cloud) -> Any:
    """To the minute, to five minutes, to the hour; periods are counted from there."""
    seen: list[Any] = []
    for days in (1, 20, 70):
        hour = _hour(cloud) - days * DAY
        _put(cloud, TOKENLESS_CALLS, ONE, {hour + 30 * MINUTE: 1.0})
        start = hour + timedelta(minutes=8, seconds=20)
        seen += _series(cloud, [_query(ONE)], start, start + 2 * HOUR)
    return seen


def datapoints_older_than_the_memory(cloud: Cloud) -> Any:
    """Refused when they are published."""
    datum = _datum(TOKENLESS_CALLS, ONE, _hour(cloud) - 455 * DAY - HOUR, 1.0)
    return code_of(cloud.cloudwatch.put_metric_data, Namespace="AWS/EC2", MetricData=[datum])


# --- Pages and incomplete answers ----------------------------------------------------------------------------------


def pages_of_datapoints(cloud: Cloud) -> Any:
    """No page has more than was asked for; what goes on is partial until its last page."""
    hour = _hour(cloud) - 4 * HOUR
    for instance_id in (ONE, TWO):
        _put(cloud, TOKENLESS_CALLS, instance_id, {hour + number * HOUR: float(number) for number in range(4)})
    asked: dict[str, Any] = {"MetricDataQueries": [_query(ONE, name="m0"), _query(TWO, name="m1")]}
    asked |= {"StartTime": hour, "EndTime": hour + 4 * HOUR, "MaxDatapoints": 3}
    values: dict[str, list[float]] = {"m0": [], "m1": []}
    statuses: dict[str, list[str]] = {"m0": [], "m1": []}
    sizes = []
    while True:
        page = cloud.cloudwatch.get_metric_data(**asked)
        sizes.append(sum(len(each["Values"]) for each in page["MetricDataResults"]))
        for each in page["MetricDataResults"]:
            values[each["Id"]] += each["Values"]
            statuses[each["Id"]].append(each["StatusCode"])
        if not page.get("NextToken"):
            return sizes, values, statuses
        asked["NextToken"] = page["NextToken"]


def a_token_that_is_none(cloud: Cloud) -> Any:
    """Refused by a code of its own."""
    return _refused(cloud, NextToken="nonsense")


def incomplete_results(cloud: Cloud) -> Any:
    """Each of them makes its own series unusable and no other, and a refused one has no datapoints."""
    hour = _hour(cloud) - 4 * HOUR
    ids = [cloud.launch() for _ in range(4)]
    for instance_id, status in zip(ids, ("PartialData", "InternalError", "Forbidden"), strict=False):
        cloud.answer_incompletely(instance_id, status)
    for instance_id in ids:
        _put(cloud, TOKENLESS_CALLS, instance_id, {hour + number * HOUR: 1.0 for number in range(4)})
    series = read(cloud.cloudwatch, TOKENLESS_CALLS, {arn_of(cloud, each): _hours(hour, 4) for each in ids})
    return {arn.instance_id: (each.problem, bool(each.values)) for arn, each in series.items()}


# --- Refused -------------------------------------------------------------------------------------------------------


def too_many_queries(cloud: Cloud) -> Any:
    """Five hundred are the most."""
    return _refused(cloud, MetricDataQueries=[_query(ONE, name=f"m{number}") for number in range(501)])


def queries_of_one_id(cloud: Cloud) -> Any:
    """Each needs its own."""
    return _refused(cloud, MetricDataQueries=[_query(ONE), _query(TWO)])


def an_id_in_capitals(cloud: Cloud) -> Any:
    """It has to begin with a small letter."""
    return _refused(cloud, MetricDataQueries=[_query(ONE, name="M0")])


def an_odd_period(cloud: Cloud) -> Any:
    """Only multiples of a minute."""
    return _refused(cloud, MetricDataQueries=[_query(ONE, period=90)])


def an_empty_range(cloud: Cloud) -> Any:
    """It has to end after it starts."""
    return _refused(cloud, EndTime=_hour(cloud) - DAY)


# --- ListMetrics ---------------------------------------------------------------------------------------------------


def instances_named_by_their_metrics(cloud: Cloud) -> Any:
    """Once each, however many datapoints they have, and only for the metric that is asked about."""
    now = cloud.begun
    _put(cloud, REJECTED_CALLS, ONE, {now - 10 * MINUTE: 1.0, now - 2 * HOUR: 1.0})
    _put(cloud, TOKENLESS_CALLS, TWO, {now - 10 * MINUTE: 1.0})
    answer = cloud.cloudwatch.list_metrics(Namespace="AWS/EC2", MetricName=REJECTED_CALLS.name, RecentlyActive="PT3H")
    return answer["Metrics"], answer.get("NextToken")


def instances_without_recent_datapoints(cloud: Cloud) -> Any:
    """Three hours back, and what may be shown of fifty minutes more is asked of nobody."""
    _put(cloud, REJECTED_CALLS, ONE, {cloud.begun - timedelta(hours=2, minutes=50): 1.0})
    _put(cloud, REJECTED_CALLS, TWO, {cloud.begun - timedelta(hours=3, minutes=55): 1.0})
    return instances_with_news(cloud.cloudwatch, REJECTED_CALLS)


def pages_of_metrics(cloud: Cloud) -> Any:
    """Five hundred a page; the service reads them all."""
    ids = [f"i-{number:017x}" for number in range(600)]
    cloud.cloudwatch.put_metric_data(
        Namespace="AWS/EC2", MetricData=[_datum(REJECTED_CALLS, each, cloud.begun - HOUR, 1.0) for each in ids]
    )
    asked = {"Namespace": "AWS/EC2", "MetricName": REJECTED_CALLS.name, "RecentlyActive": "PT3H"}
    first = cloud.cloudwatch.list_metrics(**asked)
    return len(first["Metrics"]), instances_with_news(cloud.cloudwatch, REJECTED_CALLS) == set(ids)


def another_time_than_three_hours(cloud: Cloud) -> Any:
    """Refused: it is the only one."""
    return code_of(
        cloud.cloudwatch.list_metrics, Namespace="AWS/EC2", MetricName=REJECTED_CALLS.name, RecentlyActive="PT1H"
    )


def _hour(cloud: Cloud) -> datetime:
    """The hour in which the check runs."""
    return cloud.begun.replace(minute=0, second=0, microsecond=0)


def _hours(start: datetime, count: int) -> Hours:
    first = int(start.timestamp()) // 3600
    return Hours(first, first + count)


def _datum(metric: Metric, instance_id: str, when: datetime, value: float) -> dict[str, Any]:
    dimensions = [{"Name": "InstanceId", "Value": instance_id}]
    return {"MetricName": metric.name, "Dimensions": dimensions, "Timestamp": when, "Value": value}


def _put(cloud: Cloud, metric: Metric, instance_id: str, points: dict[datetime, float]) -> None:
    data = [_datum(metric, instance_id, when, value) for when, value in points.items()]
    cloud.cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=data)


def _read(
    cloud: Cloud, metric: Metric, spans: dict[str, tuple[datetime, int]], origin: datetime, period: int = 3600
) -> Any:
    """What the service makes of it: values by hours (or seconds, of a shorter period) since a time, and the problem."""
    asked = {arn_of(cloud, instance_id): _hours(*span) for instance_id, span in spans.items()}
    begin = int(origin.timestamp()) // (3600 if period >= 3600 else 1)
    return {
        arn.instance_id: ({when - begin: value for when, value in series.values.items()}, series.problem)
        for arn, series in read(cloud.cloudwatch, metric, asked, period).items()
    }


def _query(
    instance_id: str, metric: Metric = TOKENLESS_CALLS, *, period: int = 3600, stat: str = "Sum", name: str = "m0"
) -> dict[str, Any]:
    dimensions = [{"Name": "InstanceId", "Value": instance_id}]
    asked = {"Namespace": "AWS/EC2", "MetricName": metric.name, "Dimensions": dimensions}
    return {"Id": name, "MetricStat": {"Metric": asked, "Period": period, "Stat": stat}}


def _series(
    cloud: Cloud, queries: Sequence[dict[str, Any]], start: datetime, end: datetime, **more: Any
) -> list[list[Any]]:
    """Id, status, times (in seconds since the start) and values of each result."""
    answer = cloud.cloudwatch.get_metric_data(MetricDataQueries=queries, StartTime=start, EndTime=end, **more)
    return [
        [
            each["Id"],
            each["StatusCode"],
            [(stamp - start).total_seconds() for stamp in each["Timestamps"]],
            each["Values"],
        ]
        for each in answer["MetricDataResults"]
    ]


def _refused(cloud: Cloud, **change: Any) -> tuple[str, int]:
    end = _hour(cloud)
    asked = {"MetricDataQueries": [_query(ONE)], "StartTime": end - DAY, "EndTime": end, **change}
    return code_of(cloud.cloudwatch.get_metric_data, **asked)
