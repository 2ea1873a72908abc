"""A CloudWatch of its own for the tests of the evidence: in memory, deterministic, and as strict as the real one.

It answers `GetMetricData` as its API reference says, refuses what the reference forbids, and remembers what was asked.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

MEMORY = timedelta(days=455)
HOUR = timedelta(hours=1)
QUERIES = 500
DATAPOINTS = 100_800

_OPERATION = get_session().get_service_model("cloudwatch").operation_model("GetMetricData")


def refusal(code: str, message: str = "refused") -> ClientError:
    """What botocore raises when CloudWatch refuses."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetMetricData")


class CloudWatch:
    """One account and Region's metrics of EC2 instances.

    Args:
        now: the time of the question; it dates what is forgotten, and how coarse a question about the past must be.
        memory: how long hours are kept; the service may forget a little later than it says.
        page: datapoints an answer holds at most; the service may always send fewer than it was asked for.
    """

    def __init__(self, *, now: datetime, memory: timedelta = MEMORY, page: int = DATAPOINTS) -> None:
        self.now = now
        self.memory = memory
        self.page = page
        self.points: dict[tuple[str, str], dict[datetime, float]] = {}
        self.statuses: dict[tuple[str, str], str] = {}
        """By metric and instance id, the status code in place of `Complete`."""
        self.refusals: dict[int, Exception] = {}
        """By number of the call (from 0), what is raised in place of an answer."""
        self.asked: list[dict[str, Any]] = []
        self._pages: dict[str, list[dict[str, Any]]] = {}

    def __repr__(self) -> str:
        """Each metric as one line of hours, so that a failing example can be read."""
        lines = [f"now={self.now:%d %H:%M} page={self.page}"]
        for (metric, instance_id), points in self.points.items():
            first, last = min(points, default=self.now), max(points, default=self.now)
            row = (points.get(first + HOUR * number) for number in range((last - first) // HOUR + 1))
            values = "".join("-" if value is None else "0" if value == 0 else "+" for value in row)
            lines.append(f"{metric} {instance_id} from {first:%d %H:%M}: {values}")
        return "\n".join(lines)

    @property
    def client(self) -> CloudWatchClient:
        """The same, as the code under test knows it."""
        return cast("CloudWatchClient", self)

    def put(self, metric: str, instance_id: str, when: datetime, value: float) -> None:
        """One datapoint."""
        self.points.setdefault((metric, instance_id), {})[when] = value

    def add(self, metric: str, instance_id: str, when: datetime, value: float) -> None:
        """One sample more of a datapoint."""
        before = self.points.get((metric, instance_id), {}).get(when, 0.0)
        self.put(metric, instance_id, when, before + value)

    def calls_for(self, metric: str) -> list[dict[str, Any]]:
        """The requests about a metric, without those that only fetch the next page."""
        return [
            request
            for request in self.asked
            if "NextToken" not in request
            and request["MetricDataQueries"][0]["MetricStat"]["Metric"]["MetricName"] == metric
        ]

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """`GetMetricData`; raises ClientError where the real one would."""
        number = len(self.asked)
        self.asked.append(dict(request))
        if number in self.refusals:
            raise self.refusals[number]
        self._check(request)
        token = request.get("NextToken")
        pages = self._pages.pop(token) if token else self._answer(request)
        answer: dict[str, Any] = {"MetricDataResults": pages[0], "Messages": []}
        if pages[1:]:
            answer["NextToken"] = f"page-{number}"
            self._pages[answer["NextToken"]] = pages[1:]
        return answer

    def list_metrics(self, *, Namespace: str, MetricName: str, RecentlyActive: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        """`ListMetrics`, on one page: what had a datapoint in the last three hours."""
        assert ("AWS/EC2", "PT3H") == (Namespace, RecentlyActive)
        since = self.now - timedelta(hours=3)
        ids = [
            instance_id
            for (metric, instance_id), points in self.points.items()
            if metric == MetricName and max(points) >= since
        ]
        names = {"Namespace": Namespace, "MetricName": MetricName}
        return {"Metrics": [{**names, "Dimensions": [{"Name": "InstanceId", "Value": each}]} for each in ids]}

    def _check(self, request: dict[str, Any]) -> None:
        assert _OPERATION.input_shape is not None
        report = ParamValidator().validate(request, _OPERATION.input_shape)
        queries = request["MetricDataQueries"]
        ids = [query["Id"] for query in queries]
        age = self.now - request["StartTime"]
        step = 3600 if age > timedelta(days=63) else 300 if age > timedelta(days=15) else 60
        complaints = {
            report.generate_report(): report.has_errors(),
            "queries": not 1 <= len(queries) <= QUERIES,
            "ids": len(set(ids)) < len(ids) or not all(re.fullmatch(r"[a-z]\w{0,254}", each) for each in ids),
            "StartTime must be less than EndTime": request["StartTime"] >= request["EndTime"],
            "MaxDatapoints": not 1 <= request.get("MaxDatapoints", DATAPOINTS) <= DATAPOINTS,
            "Period": any(query["MetricStat"]["Period"] % step for query in queries),
            "NextToken": "NextToken" in request and request["NextToken"] not in self._pages,
        }
        if any(complaints.values()):
            raise refusal("ValidationError", ", ".join(text for text, is_so in complaints.items() if is_so))

    def _answer(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Results split into pages; what goes on on the next page is `PartialData` until it ends."""
        room = most = min(self.page, request.get("MaxDatapoints", DATAPOINTS))
        pages: list[list[dict[str, Any]]] = [[]]
        for query in request["MetricDataQueries"]:
            status, values = self._values(query["MetricStat"], request["StartTime"], request["EndTime"])
            rest = sorted(values.items(), reverse=True)
            while True:
                if room == 0:
                    pages.append([])
                    room = most
                part, rest = rest[:room], rest[room:]
                room -= len(part)
                result = {
                    "Id": query["Id"],
                    "Label": query["MetricStat"]["Metric"]["MetricName"],
                    "Timestamps": [when for when, _ in part],
                    "Values": [value for _, value in part],
                    "StatusCode": "PartialData" if rest else status,
                }
                pages[-1].append(result)
                if not rest:
                    break
        return cast("list[dict[str, Any]]", pages)

    def _values(self, stat: dict[str, Any], start: datetime, end: datetime) -> tuple[str, dict[datetime, float]]:
        metric, period = stat["Metric"], timedelta(seconds=stat["Period"])
        assert "AWS/EC2" == metric["Namespace"]
        (dimension,) = metric["Dimensions"]
        assert "InstanceId" == dimension["Name"]
        key = (metric["MetricName"], dimension["Value"])
        status = self.statuses.get(key, "Complete")
        if status in {"Forbidden", "InternalError"}:
            return status, {}
        bins: dict[datetime, list[float]] = {}
        for when, value in self.points.get(key, {}).items():
            if start <= when < end and when >= self.now - self.memory:
                bins.setdefault(start + (when - start) // period * period, []).append(value)
        if stat["Stat"] == "Sum":
            return status, {when: sum(values) for when, values in bins.items()}
        assert "Average" == stat["Stat"]
        return status, {when: sum(values) / len(values) for when, values in bins.items()}


def hour_of(when: datetime) -> datetime:
    """The beginning of the hour of a time."""
    return when.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
