"""Reads instance metrics from CloudWatch in as few calls as its limits allow. Hours are whole numbers since 1970."""

from __future__ import annotations

import itertools
import logging
import math
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_pass
from imdsv2.aws.pages import listed, pages
from imdsv2.domain.evidence.hours import HOUR, Hours, Series, at
from imdsv2.domain.policy import LONGEST_MEMORY_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import GetMetricDataOutputTypeDef, MetricDataResultTypeDef

    from imdsv2.domain.instance import InstanceArn


QUERIES_A_CALL = 500
DATAPOINTS_A_CALL = 100_800
"""Limits of GetMetricData (CloudWatch API reference)."""

_FINE_STAMPS = 63 * 24 * 12
"""As many periods of five minutes as CloudWatch remembers."""

_CALLS_AT_ONCE = 3
_LARGE_DATAPOINTS = DATAPOINTS_A_CALL // 2
_large = BoundedSemaphore(2)
"""A large answer has two megabytes, and is read in milliseconds: two at a time, for all batches that are under way, leave no time in which
none is awaited. More would only use more memory."""

_SENT_LATELY = 4
"""With so many that were sent before it a result is compared: a group of machines at work has a few patterns."""

_MESSAGE_LENGTH = 300
_SAYS_MISSING = re.compile(
    r"exceed|maximum|limit|missing|incomplete|partial|insufficient|omit|truncat|drop|skip|exclud|throttl|time[sd]? ?-?out|"
    r"fail|error|unable|cannot|could ?n.t|\bnot\b|forbidden|denied|unavailable|unauthorized",
    re.IGNORECASE,
)
"""CloudWatch API reference, GetMetricData: a message on the operation says e.g. "Maximum number of allowed metrics exceeded", and
then only what was possible is answered. The list of messages is not published: whatever sounds like missing data counts as such."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric in the namespace AWS/EC2, and its statistic."""

    name: str
    stat: str


TOKENLESS_CALLS = Metric("MetadataNoToken", "Sum")
TOKENLESS_SAMPLES = Metric("MetadataNoToken", "SampleCount")
"""How much of a period was seen: a datapoint of five minutes is put together from one to five samples."""
REJECTED_CALLS = Metric("MetadataNoTokenRejected", "Sum")
UTILIZATION = Metric("CPUUtilization", "Average")
"""Has a datapoint for every period in which the instance ran."""


def read(
    cloudwatch: CloudWatchClient, metric: Metric, spans: Mapping[InstanceArn, Hours], period: int = HOUR
) -> dict[InstanceArn, Series]:
    """Read one metric of instances in one account and Region, each over its own hours.

    ``period`` is in seconds. A failed or incomplete answer becomes a series with a ``problem``, never an exception.
    """

    def read_alone(group: Sequence[InstanceArn]) -> dict[InstanceArn, Series]:
        try:
            with _large if _datapoints(group, spans, period) > _LARGE_DATAPOINTS else nullcontext():
                return _read_group(cloudwatch, metric, group, spans, period)
        except CALL_FAILURES as error:
            return dict.fromkeys(group, Series(problem=describe_error(error), passes=may_pass(error)))

    # CloudWatch rejects an empty time range, so an empty span gets an empty series without a call.
    series = {arn: Series() for arn, span in spans.items() if not span}
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        for part in pool.map(read_alone, pack({arn: span for arn, span in spans.items() if span}, period)):
            series |= part
    return series


def instances_with_news(cloudwatch: CloudWatchClient, metric: Metric, *, lately: bool = True) -> set[str]:
    """Ids of the instances in the client's account and Region with a datapoint of the metric in the last three hours, or in the
    last two weeks. The ListMetrics API reference allows up to 50 minutes more, and 15 minutes until a new metric is listed.

    The number of calls does not depend on how many instances exist, only on how many are listed; it returns no values.
    Raises ClientError, BotoCoreError or QuotaExhausted.
    """
    request: dict[str, Any] = {"Namespace": "AWS/EC2", "MetricName": metric.name}
    request |= {"RecentlyActive": "PT3H"} if lately else {}
    return {
        item["Value"]
        for page in pages(cloudwatch.list_metrics, **request)
        for each in listed(page, "Metrics")
        for item in each.get("Dimensions", [])
        if item["Name"] == "InstanceId"
    }


def pack(spans: Mapping[InstanceArn, Hours], period: int = HOUR) -> list[list[InstanceArn]]:
    """Group instances so that each group fits one call. A call has one time range for all its queries, so instances
    with similar ranges are grouped together."""
    groups: list[list[InstanceArn]] = []
    reach = Hours(0, 0)
    for arn in sorted(spans, key=lambda each: (spans[each], each)):
        span = spans[arn]
        wider = Hours(min(reach.first, span.first), max(reach.end, span.end)) if groups else span
        datapoints = _periods(wider, period) * (len(groups[-1]) + 1 if groups else 1)
        if not groups or len(groups[-1]) == QUERIES_A_CALL or datapoints > DATAPOINTS_A_CALL:
            groups.append([arn])
            reach = span
        else:
            groups[-1].append(arn)
            reach = wider
    return groups


def _datapoints(group: Sequence[InstanceArn], spans: Mapping[InstanceArn, Hours], period: int) -> int:
    """The most that a call for a group may return."""
    own = [spans[arn] for arn in group]
    return _periods(Hours(min(each.first for each in own), max(each.end for each in own)), period) * len(group)


def _periods(hours: Hours, period: int) -> int:
    return math.ceil(len(hours) * HOUR / period)


def _read_group(
    cloudwatch: CloudWatchClient,
    metric: Metric,
    group: Sequence[InstanceArn],
    spans: Mapping[InstanceArn, Hours],
    period: int,
) -> dict[InstanceArn, Series]:
    answers = {_id(index): _Answer() for index in range(len(group))}
    datapoints = _Datapoints(_hour if period >= HOUR else _second)
    request = _request(metric, group, spans, period)
    said: dict[str, None] = {}
    for page in pages(cloudwatch.get_metric_data, **request):
        said |= dict.fromkeys(_messages(page))
        for result in listed(page, "MetricDataResults"):
            if (answer := answers.get(result.get("Id", ""))) is not None:
                answer.add(result, datapoints)
    for each in dict.fromkeys(itertools.chain(said, *(answer.said for answer in answers.values()))):
        _log.warning("CloudWatch says with its answer about %d instances: %s", len(group), each)
    missing = _missing(said)
    return {
        arn: Series(
            values=_of(answer.values, spans[arn], request, period),
            problem=_incomplete(answer.statuses, answer.last_status)
            or missing
            or _missing(answer.said)
            or answer.doubt,
            passes="InternalError" in answer.statuses or answer.doubt is not None,
        )
        for arn, answer in zip(group, answers.values(), strict=True)
    }


@dataclass(slots=True)
class _Datapoints:
    """The values of results by their period. Most instances of a call have the same, one of zero for every hour: they share what was made
    of the first, which nobody changes, though others stand between them. Each would take 40 KiB."""

    period_of: Callable[[datetime], int]
    _lately: list[_Sent] = field(default_factory=list)

    def of(self, stamps: Sequence[datetime], values: Sequence[float]) -> Mapping[int, float]:
        """The values by period, in which one that is shown twice is there once."""
        for each in self._lately:
            if each.values == values and each.stamps == stamps:
                self._lately.remove(each)
                break
        else:
            # Most values are zero; `or 0.0` maps them to one shared object: a page has up to 100,800 values.
            periods = map(self.period_of, stamps)
            known = dict(zip(periods, (value or 0.0 for value in values), strict=True))
            each = _Sent(stamps, values, known)
            del self._lately[_SENT_LATELY - 1 :]
        self._lately.insert(0, each)
        return each.known


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """What CloudWatch sent of an instance, and what was made of it."""

    stamps: Sequence[datetime]
    values: Sequence[float]
    known: Mapping[int, float]


@dataclass(slots=True)
class _Answer:
    """What the pages of an answer say of one query. ``doubt``: why it is not to be relied on, whatever its status; ``values`` are then
    what can be read of it, of two that contradict each other the larger one."""

    values: Mapping[int, float] = field(default_factory=dict)
    statuses: set[str] = field(default_factory=set)
    last_status: str = "no answer"
    said: dict[str, None] = field(default_factory=dict)
    doubt: str | None = None

    def add(self, result: MetricDataResultTypeDef, datapoints: _Datapoints) -> None:
        """Take in a result."""
        self.last_status = result.get("StatusCode", "no status")
        self.statuses.add(self.last_status)
        self.said |= dict.fromkeys(_messages(result))
        try:
            self._add_values(result.get("Timestamps", []), result.get("Values", []), datapoints)
        except (TypeError, ValueError, OverflowError) as error:
            self.doubt = f"CloudWatch answered what cannot be read ({type(error).__name__}: {error})"

    def _add_values(self, stamps: Sequence[datetime], values: Sequence[float], datapoints: _Datapoints) -> None:
        if not (min(values, default=0.0) >= 0.0 and sum(values) < math.inf):
            self.doubt = "CloudWatch answered a value below zero, or one that is no number"
            fit = [0.0 <= each < math.inf for each in values]
            stamps, values = [*itertools.compress(stamps, fit)], [*itertools.compress(values, fit)]
        new = datapoints.of(stamps, values)
        if len(new) < len(values) or not self.values.keys().isdisjoint(new):
            self._compare(stamps, values, datapoints.period_of)
        else:
            self.values = {**self.values, **new} if self.values else new

    def _compare(
        self, stamps: Sequence[datetime], values: Sequence[float], period_of: Callable[[datetime], int]
    ) -> None:
        """A period that is shown twice with the same value is shown once too often; with another, nobody knows which is true."""
        compared = dict(self.values)
        for stamp, value in zip(stamps, values, strict=True):
            period = period_of(stamp)
            known = compared.setdefault(period, value)
            if known != value:
                self.doubt = "CloudWatch answered two values for the same period"
                compared[period] = max(known, value)
        self.values = compared


def _request(
    metric: Metric, group: Sequence[InstanceArn], spans: Mapping[InstanceArn, Hours], period: int
) -> dict[str, Any]:
    """One query for each instance over the hours of all."""
    return {
        "MetricDataQueries": [
            {
                "Id": _id(index),
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/EC2",
                        "MetricName": metric.name,
                        "Dimensions": [{"Name": "InstanceId", "Value": arn.instance_id}],
                    },
                    "Period": period,
                    "Stat": metric.stat,
                },
            }
            for index, arn in enumerate(group)
        ],
        "StartTime": at(min(spans[arn].first for arn in group)),
        "EndTime": at(max(spans[arn].end for arn in group)),
        "MaxDatapoints": DATAPOINTS_A_CALL,
    }


def _id(index: int) -> str:
    """The id of a query, by its place in the group."""
    return f"m{index}"


def _messages(answer: GetMetricDataOutputTypeDef | MetricDataResultTypeDef) -> list[str]:
    """What CloudWatch says about an operation as a whole, all else of which is carried out as far as possible, or about one result."""
    return [f"{each.get('Code', '')}: {each.get('Value', '')}"[:_MESSAGE_LENGTH] for each in answer.get("Messages", [])]


def _missing(said: Iterable[str]) -> str | None:
    """The first message that sounds like missing data."""
    return next((f"CloudWatch says: {each}" for each in said if _SAYS_MISSING.search(each)), None)


def _of(values: Mapping[int, float], span: Hours, request: Mapping[str, Any], period: int) -> Mapping[int, float]:
    """What lies in an instance's own hours: the range of a call is that of all whom it asks about."""
    if at(span.first) <= request["StartTime"] and at(span.end) >= request["EndTime"]:
        return values
    scale = HOUR if period < HOUR else 1
    return {each: value for each, value in values.items() if span.first * scale <= each < span.end * scale}


@lru_cache(maxsize=LONGEST_MEMORY_DAYS * 24)
def _hour(stamp: datetime | float) -> int:
    """Cached: the hours repeat for every instance, so this is faster and all series share the same int objects."""
    seconds = stamp.timestamp() if isinstance(stamp, datetime) else stamp
    return int(seconds) // HOUR


@lru_cache(maxsize=_FINE_STAMPS)
def _second(stamp: datetime | float) -> int:
    return int(stamp.timestamp() if isinstance(stamp, datetime) else stamp)


def _incomplete(statuses: set[str], last_status: str) -> str | None:
    """A result with more pages has the status PartialData, so only the status of its last page is final. Forbidden and
    InternalError are final on any page."""
    for fatal in ("Forbidden", "InternalError"):
        if fatal in statuses:
            return f"CloudWatch answered {fatal}"
    return None if last_status == "Complete" else f"CloudWatch answered {last_status}"
