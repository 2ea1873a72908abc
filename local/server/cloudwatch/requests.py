"""CloudWatch's metrics of the namespace AWS/EC2: PutMetricData, GetMetricData, GetMetricStatistics and ListMetrics.

ministack forgets after 14 days and answers slowly; alarms, dashboards and all other namespaces stay with it. Spoken are the three
protocols of today's clients: rpc-v2-cbor, JSON and the older query form. Only here, a tag `local:metrics` of an instance in the
account and Region makes every answer about it incomplete: `PartialData`, `InternalError` or `Forbidden`. `PUT /_local/history` loads
whole histories of a metric at once, for fleets that would take PutMetricData minutes.
"""

from __future__ import annotations

import base64
import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import gateway
from local.server import platform as ms
from local.server.cloudwatch import wire as wire
from local.server.cloudwatch.store import DAY, KEPT_DAYS, MetricKey, MetricStore
from local.server.cloudwatch.wire import MetricError
from local.server.ec2.records import tags_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.server.platform import Headers, Params, Response

Json: TypeAlias = dict[str, Any]

NAMESPACE: Final = "AWS/EC2"
MOST_QUERIES: Final = 500
MOST_DATAPOINTS: Final = 100_800
MOST_STATISTICS_POINTS: Final = 1_440
MOST_DATA: Final = 1_000
MOST_METRICS: Final = 500
RECENTLY: Final = 3 * 3600
MOST_VALUES: Final = 150
STATISTICS: Final = frozenset({"Average", "Sum", "SampleCount", "Minimum", "Maximum"})
INCOMPLETE: Final = frozenset({"PartialData", "InternalError", "Forbidden"})

_stores: defaultdict[tuple[str, str], MetricStore] = defaultdict(MetricStore)


def install() -> None:
    """Stand before ministack's CloudWatch."""
    ministacks = ms.SERVICES["monitoring"]

    async def handle(method: str, path: str, headers: Headers, body: bytes, query: Params) -> Response:
        request = wire.parse(path, headers, body)
        action = ACTIONS.get(request.action)
        if action is None or not _ours(request.data):
            return await ministacks(method, path, headers, body, query)
        try:
            return wire.answer(request, action(request.data))
        except MetricError as refusal:
            return wire.refusal(request, refusal)

    ms.SERVICES["monitoring"] = handle
    gateway.route("history", _load_history)


def put_metric_data(request: Json) -> Json:
    """Keep up to 1,000 data: single values, values with counts, or statistic sets."""
    data = request["MetricData"]
    if len(data) > MOST_DATA:
        raise MetricError(
            "RequestEntityTooLarge", f"The collection MetricData must not have a size greater than {MOST_DATA}.", 413
        )
    store, now = _store(), time.time()
    for datum in data:
        timestamp = datum.get("Timestamp", now)
        # AWS takes two weeks; here histories may be as old as the metric's memory.
        if not now - KEPT_DAYS * DAY <= timestamp <= now + 7200:
            raise MetricError(
                "InvalidParameterValue", "The parameter MetricData.member.Timestamp must be within the metric's memory."
            )
        store.put(_key(datum), timestamp, *_statistic_set(datum))
    return {}


def get_metric_data(request: Json) -> Json:
    """Data points of up to 500 queries, 100,800 points a page."""
    queries, start, end = request["MetricDataQueries"], request["StartTime"], request["EndTime"]
    _refuse_invalid_queries(queries, start, end)
    ascending = request.get("ScanBy", "TimestampDescending") == "TimestampAscending"
    first, skipped = _position(request.get("NextToken"))
    room = min(request.get("MaxDatapoints") or MOST_DATAPOINTS, MOST_DATAPOINTS)
    results: list[Json] = []
    for index in range(first, len(queries)):
        times, values, status = _query(queries[index], start, end, ascending=ascending)
        times, values = times[skipped:], values[skipped:]
        if len(times) > room:
            if room:
                results.append(_result(queries[index], times[:room], values[:room], "PartialData"))
            return {"MetricDataResults": results, "NextToken": _token(index, skipped + room), "Messages": []}
        if queries[index].get("ReturnData", True):
            results.append(_result(queries[index], times, values, status))
            room -= len(times)
        skipped = 0
    return {"MetricDataResults": results, "Messages": []}


def get_metric_statistics(request: Json) -> Json:
    """One metric, at most 1,440 points."""
    period = request["Period"]
    _refuse_period(period)
    key = (request["Namespace"], request["MetricName"], _dimensions(request))
    times, points = _store().read(
        key, start=request["StartTime"], end=request["EndTime"], period=period, now=time.time()
    )
    if (request["EndTime"] - request["StartTime"]) / period > MOST_STATISTICS_POINTS:
        message = "You have requested more than 1,440 datapoints, which exceeds the limit. You may reduce the datapoints requested."
        raise MetricError("InvalidParameterCombination", message)
    unknown = [name for name in request.get("Statistics", []) if name not in STATISTICS]
    if unknown or not request.get("Statistics"):
        raise MetricError(
            "InvalidParameterValue", "The parameter Statistics must name Average, Sum, SampleCount, Minimum or Maximum."
        )
    datapoints = [
        {"Timestamp": wire.Timestamp(at), "Unit": "None", **{name: point.value(name) for name in request["Statistics"]}}
        for at, point in zip(times, points, strict=True)
    ]
    return {"Label": request["MetricName"], "Datapoints": datapoints}


def list_metrics(request: Json) -> Json:
    """The metrics that have points (of late, if asked for), by name and dimensions, 500 a page."""
    wanted = {(each["Name"], each.get("Value")) for each in request.get("Dimensions", [])}
    if request.get("RecentlyActive") not in {None, "PT3H"}:
        raise MetricError("InvalidParameterValue", "The value for parameter RecentlyActive is not supported.")
    since = time.time() - RECENTLY if request.get("RecentlyActive") else 0
    first, _ = _position(request.get("NextToken"))
    metrics = [
        {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
        }
        for (namespace, name, dimensions), series in _store().series.items()
        if series.latest >= since
        and request.get("MetricName") in {None, name}
        and all(any(key == has and value in {None, of} for has, of in dimensions) for key, value in wanted)
    ]
    page = {"Metrics": metrics[first : first + MOST_METRICS]}
    return page | ({"NextToken": _token(first + MOST_METRICS, 0)} if first + MOST_METRICS < len(metrics) else {})


ACTIONS: Final[dict[str, Callable[[Json], Json]]] = {
    "PutMetricData": put_metric_data,
    "GetMetricData": get_metric_data,
    "GetMetricStatistics": get_metric_statistics,
    "ListMetrics": list_metrics,
}


def _load_history(_method: str, body: bytes) -> Response:
    """`{"account", "region", "metric", "period", "series": [{"instances": [id, ...], "runs": [[start, [value, ...]], ...]}]}`

    All instances of an element have the same past; null: no data point.
    """
    asked = json.loads(body)
    store, period = _stores[asked["account"], asked["region"]], asked["period"]
    for several in asked["series"]:
        keys = [(NAMESPACE, asked["metric"], (("InstanceId", instance),)) for instance in several["instances"]]
        runs = [
            (start + index * period, value) for start, values in several["runs"] for index, value in enumerate(values)
        ]
        store.load(keys, [(at, value) for at, value in runs if value is not None])
    return gateway.json_response({"series": len(asked["series"])})


def _ours(request: Json) -> bool:
    queries = request.get("MetricDataQueries")
    if queries is None:
        return request.get("Namespace") == NAMESPACE
    return all(query.get("MetricStat", {}).get("Metric", {}).get("Namespace") == NAMESPACE for query in queries)


def _store() -> MetricStore:
    return _stores[ms.account_id(), ms.region()]


def _key(datum: Json) -> MetricKey:
    return NAMESPACE, datum["MetricName"], _dimensions(datum)


def _dimensions(metric: Json) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((each["Name"], each["Value"]) for each in metric.get("Dimensions", [])))


def _statistic_set(datum: Json) -> tuple[float, float, float, float]:
    """Sum, count, minimum and maximum of what a datum publishes."""
    if "StatisticValues" in datum:
        sent = datum["StatisticValues"]
        return sent["Sum"], sent["SampleCount"], sent["Minimum"], sent["Maximum"]
    values = datum.get("Values", [datum["Value"]] if "Value" in datum else [])
    counts = datum.get("Counts") or [1.0] * len(values)
    if not values or len(values) != len(counts) or len(values) > MOST_VALUES:
        message = "A datum takes a Value, StatisticValues, or up to 150 Values with as many Counts."
        raise MetricError("InvalidParameterCombination", message)
    return (
        sum(value * count for value, count in zip(values, counts, strict=True)),
        sum(counts),
        min(values),
        max(values),
    )


def _query(query: Json, start: float, end: float, *, ascending: bool) -> tuple[list[int], list[float], str]:
    stat = query["MetricStat"]
    incomplete = _incomplete(stat["Metric"])
    if incomplete in {"InternalError", "Forbidden"}:
        return [], [], incomplete
    times, points = _store().read(_key(stat["Metric"]), start=start, end=end, period=stat["Period"], now=time.time())
    if incomplete:
        times, points = times[: len(times) // 2], points[: len(points) // 2]
    values = [point.value(stat["Stat"]) for point in points]
    return (
        (times, values, incomplete or "Complete")
        if ascending
        else (times[::-1], values[::-1], incomplete or "Complete")
    )


def _incomplete(metric: Json) -> str | None:
    instance = dict(_dimensions(metric)).get("InstanceId", "")
    status = tags_of(instance).get("local:metrics")
    return status if status in INCOMPLETE else None


def _result(query: Json, times: list[int], values: list[float], status: str) -> Json:
    label = query.get("Label", query["MetricStat"]["Metric"]["MetricName"])
    return {
        "Id": query["Id"],
        "Label": label,
        "Timestamps": wire.Timestamps(times),
        "Values": wire.Values(values),
        "StatusCode": status,
    }


def _refuse_invalid_queries(queries: list[Json], start: float, end: float) -> None:
    if len(queries) > MOST_QUERIES:
        raise MetricError(
            "ValidationError", f"The collection MetricDataQueries must not have a size greater than {MOST_QUERIES}."
        )
    if start >= end:
        raise MetricError("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    ids = [query["Id"] for query in queries]
    if len(set(ids)) != len(ids):
        raise MetricError("ValidationError", "The values for parameter id in MetricDataQueries are not unique.")
    for query in queries:
        if not (query["Id"][:1].islower() and query["Id"].replace("_", "").isalnum()):
            raise MetricError("ValidationError", "The value for parameter id must start with a lowercase letter.")
        _refuse_period(query["MetricStat"]["Period"])
        if query["MetricStat"]["Stat"] not in STATISTICS:
            raise MetricError(
                "ValidationError", f"The local AWS does not keep the statistic {query['MetricStat']['Stat']}."
            )


def _refuse_period(period: int) -> None:
    if period not in {1, 5, 10, 30} and (period < 60 or period % 60):
        raise MetricError("ValidationError", "The parameter Period must be 1, 5, 10, 30, or a multiple of 60.")


def _token(index: int, skipped: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([index, skipped]).encode()).decode()


def _position(token: str | None) -> tuple[int, int]:
    if token is None:
        return 0, 0
    try:
        index, skipped = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as broken:
        raise MetricError("InvalidNextToken", "The next token is invalid.") from broken
    return index, skipped
