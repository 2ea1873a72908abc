"""CloudWatch in memory: the metrics of the instances of one account and Region, deterministic and as strict as the real one.

It answers `GetMetricData`, `ListMetrics` and `PutMetricData` as their API references say, refuses what they forbid, and
remembers what was asked. In one thing it is stricter: a period that is too fine for the age of its start is refused, where
CloudWatch answers with no datapoints, because nobody who knows the rules asks that.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from botocore.session import get_session
from botocore.validate import ParamValidator

from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_cloudwatch import CloudWatchClient

Stamps: TypeAlias = list[datetime] | list[int]

MEMORY = timedelta(days=455)
HOUR = timedelta(hours=1)
QUERIES = 500
DATAPOINTS = 100_800
METRICS_A_PAGE = 500
NAMESPACE = "AWS/EC2"
RECENTLY, LISTED = timedelta(hours=3), timedelta(days=14)

_OPERATION = get_session().get_service_model("cloudwatch").operation_model("GetMetricData")
_WITHOUT_POINTS = {"Forbidden", "InternalError"}


class CloudWatch:
    """One account and Region's metrics of EC2 instances.

    Args:
        now: the time of a question; it dates what is forgotten, and how coarse a question about the past must be.
        memory: how long hours are kept; the service may forget a little later than it says.
        page: datapoints an answer holds at most; the service may always send fewer than it was asked for.
    """

    def __init__(self, now: Callable[[], datetime], *, memory: timedelta = MEMORY, page: int = DATAPOINTS) -> None:
        self.now = now
        self.memory = memory
        self.page = page
        self.points: dict[tuple[str, str], dict[datetime, float]] = {}
        """By metric and instance id."""
        self.samples: defaultdict[tuple[str, str], Counter[datetime]] = defaultdict(Counter)
        """By metric and instance id, how many samples a datapoint has besides its first."""
        self.status = "Complete"
        self.statuses: dict[tuple[str, str], str] = {}
        """By metric and instance id, the status code in place of `status`."""
        self.messages: list[dict[str, str]] = []
        """What it says with each answer about the operation as a whole."""
        self.refusals: dict[int, Exception] = {}
        """By number of the call of `GetMetricData` (from 0), what is raised in place of an answer."""
        self.asked: list[dict[str, Any]] = []
        self._pages: dict[str, list[list[dict[str, Any]]]] = {}

    def __repr__(self) -> str:
        """Each metric as one line of hours, so that a failing example can be read."""
        now = self.now()
        lines = [f"now={now:%d %H:%M} page={self.page}"]
        for (metric, instance_id), points in self.points.items():
            first, last = min(points, default=now), max(points, default=now)
            row = (points.get(first + HOUR * number) for number in range((last - first) // HOUR + 1))
            values = "".join("-" if value is None else "0" if value == 0 else "+" for value in row)
            lines.append(f"{metric} {instance_id} from {first:%d %H:%M}: {values}")
        return "\n".join(lines)

    @property
    def client(self) -> CloudWatchClient:
        """The same, as the code under test knows it."""
        return cast("CloudWatchClient", self)

    def put(self, metric: str, instance_id: str, when: datetime, value: float, samples: int = 1) -> None:
        """One datapoint, the sum of its samples."""
        self.points.setdefault((metric, instance_id), {})[when] = value
        self.samples[metric, instance_id][when] = samples - 1

    def add(self, metric: str, instance_id: str, when: datetime, value: float) -> None:
        """One sample more of a datapoint."""
        points = self.points.setdefault((metric, instance_id), {})
        self.samples[metric, instance_id][when] += when in points
        points[when] = points.get(when, 0.0) + value

    def calls_for(self, metric: str) -> list[dict[str, Any]]:
        """The requests about a metric, without those that only fetch the next page."""
        return [
            request
            for request in self.asked
            if "NextToken" not in request
            and request["MetricDataQueries"][0]["MetricStat"]["Metric"]["MetricName"] == metric
        ]

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803 - AWS's names
        """`PutMetricData`, of single values; raises ClientError for what is older than the memory."""
        assert Namespace == NAMESPACE
        for datum in MetricData:
            when = datum["Timestamp"].replace(second=0, microsecond=0)
            if when < self.now() - self.memory:
                raise refusal("InvalidParameterValue", "The Timestamp is too old.", "PutMetricData")
            self.add(datum["MetricName"], _instance_of(datum), when, datum["Value"])

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """`GetMetricData`; raises ClientError where the real one would."""
        number = len(self.asked)
        self.asked.append(dict(request))
        if number in self.refusals:
            raise self.refusals[number]
        self._refuse(request)
        token = request.get("NextToken")
        pages = self._pages.pop(token) if token else self._answer(request)
        answer: dict[str, Any] = {"MetricDataResults": pages[0], "Messages": list(self.messages)}
        if pages[1:]:
            answer["NextToken"] = f"page-{number}"
            self._pages[answer["NextToken"]] = pages[1:]
        return answer

    def list_metrics(
        self,
        *,
        Namespace: str,  # noqa: N803 - AWS's names
        MetricName: str,  # noqa: N803
        RecentlyActive: str | None = None,  # noqa: N803
        NextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        """`ListMetrics` of what had a datapoint in the last three hours, or in the last two weeks."""
        assert Namespace == NAMESPACE
        if RecentlyActive not in {None, "PT3H"}:
            raise refusal("InvalidParameterValue", "The value for parameter RecentlyActive is invalid.", "ListMetrics")
        since = self.now() - (RECENTLY if RecentlyActive else LISTED)
        ids, first = self._active_since(MetricName, since), int(NextToken)
        names = {"Namespace": Namespace, "MetricName": MetricName}
        page = ids[first : first + METRICS_A_PAGE]
        answer: dict[str, Any] = {
            "Metrics": [{**names, "Dimensions": [{"Name": "InstanceId", "Value": each}]} for each in page]
        }
        if ids[first + METRICS_A_PAGE :]:
            answer["NextToken"] = str(first + METRICS_A_PAGE)
        return answer

    def _active_since(self, metric: str, since: datetime) -> list[str]:
        """Ids of the instances of which a metric had a datapoint since a time."""
        return [
            instance_id
            for (name, instance_id), points in self.points.items()
            if name == metric and max(points) >= since
        ]

    def _refuse(self, request: Mapping[str, Any]) -> None:
        """Raise ClientError where the API reference of GetMetricData forbids a request."""
        assert _OPERATION.input_shape is not None
        report = ParamValidator().validate(request, _OPERATION.input_shape)
        queries = request["MetricDataQueries"]
        ids = [query["Id"] for query in queries]
        step = _step(self.now() - request["StartTime"])
        complaints = {
            report.generate_report(): report.has_errors(),
            "queries": not 1 <= len(queries) <= QUERIES,
            "ids": len(set(ids)) < len(ids) or not all(re.fullmatch(r"[a-z]\w{0,254}", each) for each in ids),
            "StartTime must be less than EndTime": request["StartTime"] >= request["EndTime"],
            "MaxDatapoints": not 1 <= request.get("MaxDatapoints", DATAPOINTS) <= DATAPOINTS,
            "Period": any(query["MetricStat"]["Period"] % step for query in queries),
        }
        if any(complaints.values()):
            why = ", ".join(text for text, is_so in complaints.items() if is_so)
            raise refusal("ValidationError", why, "GetMetricData")
        if "NextToken" in request and request["NextToken"] not in self._pages:
            raise refusal("InvalidNextToken", "The next token is invalid.", "GetMetricData")

    def _answer(self, request: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """Results split into pages; what goes on on the next page is `PartialData` until it ends."""
        room = most = min(self.page, request.get("MaxDatapoints", DATAPOINTS))
        pages: list[list[dict[str, Any]]] = [[]]
        start = _rounded(request["StartTime"], _step(self.now() - request["StartTime"]))
        for query in request["MetricDataQueries"]:
            stat, status = query["MetricStat"], self._status(query["MetricStat"]["Metric"])
            stamps, values = self._series(stat, start, request["EndTime"])
            if status in _WITHOUT_POINTS:
                stamps, values = [], []
            if request.get("ScanBy") == "TimestampAscending":
                stamps, values = stamps[::-1], values[::-1]
            begin = 0
            while True:
                if room == 0:
                    pages.append([])
                    room = most
                end = begin + room
                result = {
                    "Id": query["Id"],
                    "Label": stat["Metric"]["MetricName"],
                    "Timestamps": stamps[begin:end],
                    "Values": values[begin:end],
                    "StatusCode": "PartialData" if end < len(stamps) else status,
                }
                pages[-1].append(result)
                room -= len(result["Values"])
                if end >= len(stamps):
                    break
                begin = end
        return pages

    def _status(self, metric: Mapping[str, Any]) -> str:
        return self.statuses.get((metric["MetricName"], _instance_of(metric)), self.status)

    def _series(self, stat: Mapping[str, Any], start: datetime, end: datetime) -> tuple[Stamps, list[float]]:
        """What a query's `MetricStat` has between two times, newest first: when each period began, and its value."""
        metric, period = stat["Metric"], timedelta(seconds=stat["Period"])
        assert metric["Namespace"] == NAMESPACE
        key = metric["MetricName"], _instance_of(metric)
        oldest, more = self.now() - self.memory, self.samples[key]
        sums: defaultdict[datetime, float] = defaultdict(float)
        samples: Counter[datetime] = Counter()
        for when, value in self.points.get(key, {}).items():
            if start <= when < end and when >= oldest:
                begin = start + (when - start) // period * period
                sums[begin] += value
                samples[begin] += 1 + more[when]
        stamps = sorted(sums, reverse=True)
        match stat["Stat"]:
            case "Sum":
                return stamps, [sums[when] for when in stamps]
            case "SampleCount":
                return stamps, [float(samples[when]) for when in stamps]
        assert stat["Stat"] == "Average"
        return stamps, [sums[when] / samples[when] for when in stamps]


def _instance_of(metric: Mapping[str, Any]) -> str:
    (dimension,) = metric["Dimensions"]
    assert dimension["Name"] == "InstanceId"
    return str(dimension["Value"])


def _step(age: timedelta) -> int:
    """The seconds to which CloudWatch rounds a start of this age down, and of which a period must be a multiple (its API
    reference on GetMetricData)."""
    return 3600 if age > timedelta(days=63) else 300 if age > timedelta(days=15) else 60


def _rounded(when: datetime, step: int) -> datetime:
    return datetime.fromtimestamp(when.timestamp() // step * step, UTC)


def hour_of(when: datetime) -> datetime:
    """The beginning of the hour of a time."""
    return when.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
