"""What CloudWatch remembers of an instance's use of IMDSv1, read in as few calls as its limits allow.

Hours are counted as whole numbers since 1970. For *use*, every hour that touches a range counts; for *coverage* and
*observed hours*, only those wholly inside it. No datapoint is never zero.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from imdsv2.aws import CALL_FAILURES, describe_error, is_throttling
from imdsv2.model import Evidence
from imdsv2.policy import LONGEST_MEMORY_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.model import Instance, InstanceArn
    from imdsv2.policy import Policy

QUERIES_A_CALL = 500
DATAPOINTS_A_CALL = 100_800
"""Limits of GetMetricData (its API reference)."""

_CALLS_AT_ONCE = 3
"""A page of datapoints takes CloudWatch as long as it takes us to read the one before; more would only fill the memory."""

_HOUR = 3600
_WEEK_IN_HOURS = 7 * 24
_BOOT = timedelta(hours=2)
_WORTH_OBSERVING = timedelta(minutes=15)
"""What is left of the hour of the start must have a datapoint where it is at least this long."""


@dataclass(frozen=True, slots=True, order=True)
class Hours:
    """Consecutive hours, ``first`` included, ``end`` not."""

    first: int
    end: int

    @classmethod
    def touching(cls, start: datetime, end: datetime) -> Hours:
        return cls(math.floor(start.timestamp() / _HOUR), math.ceil(end.timestamp() / _HOUR))

    @classmethod
    def inside(cls, start: datetime, end: datetime) -> Hours:
        first = math.ceil(start.timestamp() / _HOUR)
        return cls(first, max(first, math.floor(end.timestamp() / _HOUR)))

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.end))

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one instance: a value for each hour that has a datapoint, or the problem that makes it unusable."""

    values: Mapping[int, float] = field(default_factory=dict)
    problem: str | None = None
    throttled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One instance and the window it is looked at through."""

    instance: Instance
    start: datetime
    end: datetime

    @property
    def touched(self) -> Hours:
        return Hours.touching(self.start, self.end)

    @property
    def inside(self) -> Hours:
        return Hours.inside(self.start, self.end)

    @property
    def boot(self) -> Hours:
        return Hours.touching(self.instance.launched_at, self.instance.launched_at + _BOOT)


def gather(
    cloudwatch: CloudWatchClient, instances: Iterable[Instance], policy: Policy, now: datetime
) -> dict[InstanceArn, Evidence]:
    """Read the evidence of instances of one account and Region.

    A refused or incomplete answer is evidence with a ``problem``, never an exception.
    """
    lookback = timedelta(days=policy.lookback_days)
    oldest = now - timedelta(days=LONGEST_MEMORY_DAYS)
    gathered: dict[InstanceArn, Evidence] = {}
    looks: dict[InstanceArn, _Look] = {}
    for instance in instances:
        end = instance.stopped_at if instance.state == "stopped" else now
        if end is None:
            gathered[instance.arn] = Evidence(window_start=now - lookback, window_end=now, window_known=False)
            continue
        start = max(end - lookback, instance.first_launched_at or oldest)
        looks[instance.arn] = _Look(instance=instance, start=min(start, end), end=end)

    tokenless = _read(cloudwatch, "MetadataNoToken", "Sum", {arn: look.touched for arn, look in looks.items()})
    boots = _read(
        cloudwatch,
        "MetadataNoToken",
        "Sum",
        {
            arn: look.boot
            for arn, look in looks.items()
            if look.boot.first < look.touched.first and look.instance.launched_at >= oldest
        },
    )
    short = {
        arn: span for arn, look in looks.items() if (span := _unexplained(look, tokenless[arn], policy)) is not None
    }
    ran = _read(cloudwatch, "CPUUtilization", "Average", short)
    for arn, look in looks.items():
        gathered[arn] = _evidence(look, tokenless[arn], boots.get(arn), ran.get(arn), oldest, now)
    return gathered | _older_use(cloudwatch, looks, gathered, policy, oldest)


def _unexplained(look: _Look, tokenless: Series, policy: Policy) -> Hours | None:
    """The hours for which it has to be known whether the instance ran; None where the metric alone settles coverage."""
    if tokenless.problem is not None or any(tokenless.values.get(hour) for hour in look.touched):
        return None
    missing = [hour for hour in look.inside if hour not in tokenless.values]
    observed = len(look.inside) - len(missing)
    if not missing or observed / len(look.inside) >= policy.min_coverage:
        return None
    return Hours(missing[0], missing[-1] + 1)


def _evidence(
    look: _Look, tokenless: Series, boot: Series | None, ran: Series | None, oldest: datetime, now: datetime
) -> Evidence:
    seen = {**(boot.values if boot else {}), **tokenless.values}
    used = [hour for hour in look.touched if tokenless.values.get(hour)]
    observed = sum(hour in tokenless.values for hour in look.inside)
    ran_hours = sum(hour in tokenless.values or hour in ran.values for hour in look.inside) if ran else len(look.inside)
    problems = [series for series in (tokenless, boot, ran) if series is not None and series.problem is not None]
    needed, observable_at = _boot_hours(look.instance.launched_at)
    forgotten = look.instance.launched_at < oldest
    return Evidence(
        window_start=look.start,
        window_end=look.end,
        problem=problems[0].problem if problems else None,
        throttled=any(series.throttled for series in problems),
        tokenless_calls=math.ceil(sum(tokenless.values[hour] for hour in used)),
        last_tokenless_call=_at(used[-1]) if used else None,
        boot_observed=not forgotten and observable_at <= now and all(hour in seen for hour in needed),
        boot_observable_at=observable_at,
        boot_forgotten=forgotten,
        boot_tokenless_calls=math.ceil(sum(seen.get(hour, 0) for hour in look.boot)),
        observed_hours=observed,
        coverage=observed / ran_hours if ran_hours else 0.0,
    )


def _boot_hours(launched_at: datetime) -> tuple[list[int], datetime]:
    """The hours that must have a datapoint for the start to count as observed, and when the last of them is over."""
    containing = math.floor(launched_at.timestamp() / _HOUR)
    first_whole = math.ceil(launched_at.timestamp() / _HOUR)
    worth_observing = _at(containing + 1) - launched_at >= _WORTH_OBSERVING
    needed = [containing, first_whole] if worth_observing and containing != first_whole else [first_whole]
    return needed, _at(first_whole + 1)


def _older_use(
    cloudwatch: CloudWatchClient,
    looks: Mapping[InstanceArn, _Look],
    gathered: Mapping[InstanceArn, Evidence],
    policy: Policy,
    oldest: datetime,
) -> dict[InstanceArn, Evidence]:
    """Tell of use before the window, where the window itself speaks for enforcing: a coarse look, which proves nothing else.

    Asked for in weeks: a few hundred instances fit into one call, and a person needs no better date.
    """
    spans = {}
    for arn, look in looks.items():
        begin = max(look.instance.first_launched_at or oldest, oldest)
        if _speaks_for_enforcing(gathered[arn], policy) and begin < _at(look.touched.first):
            spans[arn] = Hours(Hours.touching(begin, begin).first, look.touched.first)
    older = _read(cloudwatch, "MetadataNoToken", "Sum", spans, hours_a_period=_WEEK_IN_HOURS)
    return {arn: _with_older(gathered[arn], series) for arn, series in older.items()}


def _speaks_for_enforcing(evidence: Evidence, policy: Policy) -> bool:
    return (
        evidence.problem is None
        and evidence.tokenless_calls + evidence.boot_tokenless_calls == 0
        and evidence.coverage >= policy.min_coverage
        and evidence.observed_hours >= policy.min_observed_hours
    )


def _with_older(evidence: Evidence, older: Series) -> Evidence:
    used = [hour for hour, value in older.values.items() if value]
    return replace(
        evidence,
        problem=older.problem,
        throttled=older.throttled,
        older_tokenless_calls=math.ceil(sum(older.values[hour] for hour in used)),
        older_last_tokenless_call=_at(max(used)) if used else None,
    )


def _read(
    cloudwatch: CloudWatchClient, metric: str, stat: str, spans: Mapping[InstanceArn, Hours], hours_a_period: int = 1
) -> dict[InstanceArn, Series]:
    def read(group: Sequence[InstanceArn]) -> dict[InstanceArn, Series]:
        try:
            return _read_group(cloudwatch, metric, stat, group, spans, hours_a_period)
        except CALL_FAILURES as error:
            return dict.fromkeys(group, Series(problem=describe_error(error), throttled=is_throttling(error)))

    # CloudWatch refuses an empty range: where there is nothing to ask about, nothing is known.
    series = {arn: Series() for arn, span in spans.items() if not span}
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        for part in pool.map(read, pack({arn: span for arn, span in spans.items() if span}, hours_a_period)):
            series |= part
    return series


def pack(spans: Mapping[InstanceArn, Hours], hours_a_period: int = 1) -> list[list[InstanceArn]]:
    """Group instances so that each group is one call: the time range of a call is one for all its queries, so those
    whose ranges lie close together go together."""
    groups: list[list[InstanceArn]] = []
    reach = Hours(0, 0)
    for arn in sorted(spans, key=lambda each: (spans[each], each)):
        span = spans[arn]
        wider = Hours(min(reach.first, span.first), max(reach.end, span.end)) if groups else span
        datapoints = math.ceil(len(wider) / hours_a_period) * (len(groups[-1]) + 1 if groups else 1)
        if not groups or len(groups[-1]) == QUERIES_A_CALL or datapoints > DATAPOINTS_A_CALL:
            groups.append([arn])
            reach = span
        else:
            groups[-1].append(arn)
            reach = wider
    return groups


def _read_group(
    cloudwatch: CloudWatchClient,
    metric: str,
    stat: str,
    group: Sequence[InstanceArn],
    spans: Mapping[InstanceArn, Hours],
    hours_a_period: int,
) -> dict[InstanceArn, Series]:
    values: list[dict[int, float]] = [{} for _ in group]
    statuses: list[set[str]] = [set() for _ in group]
    last_status: list[str] = ["no answer"] * len(group)
    request: dict[str, Any] = {
        "MetricDataQueries": [
            {
                "Id": f"m{index}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/EC2",
                        "MetricName": metric,
                        "Dimensions": [{"Name": "InstanceId", "Value": arn.instance_id}],
                    },
                    "Period": hours_a_period * _HOUR,
                    "Stat": stat,
                },
            }
            for index, arn in enumerate(group)
        ],
        "StartTime": _at(min(spans[arn].first for arn in group)),
        "EndTime": _at(max(spans[arn].end for arn in group)),
        "MaxDatapoints": DATAPOINTS_A_CALL,
    }
    while True:
        page = cloudwatch.get_metric_data(**request)
        for result in page["MetricDataResults"]:
            index = int(result["Id"][1:])
            last_status[index] = result["StatusCode"]
            statuses[index].add(result["StatusCode"])
            hours = map(_hour, result["Timestamps"])
            # Nearly all values are zero, and one zero does for all of them: there are hundreds of thousands a page.
            values[index].update(zip(hours, (value or 0.0 for value in result["Values"]), strict=True))
        if not page.get("NextToken"):
            break
        request["NextToken"] = page["NextToken"]
    return {
        arn: Series(values=values[index], problem=_incomplete(statuses[index], last_status[index]))
        for index, arn in enumerate(group)
    }


@lru_cache(maxsize=LONGEST_MEMORY_DAYS * 24)
def _hour(stamp: datetime | float) -> int:
    """Remembered, because the same hours come again for every instance: it is quicker, and all share one number."""
    seconds = stamp.timestamp() if isinstance(stamp, datetime) else stamp
    return int(seconds) // _HOUR


def _incomplete(statuses: set[str], last_status: str) -> str | None:
    """PartialData is how a result says that its next page follows; only the last page's word is final. The other two
    words are never taken back by a later page."""
    for fatal in ("Forbidden", "InternalError"):
        if fatal in statuses:
            return f"CloudWatch answered {fatal}"
    return None if last_status == "Complete" else f"CloudWatch answered {last_status}"


def _at(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * _HOUR, UTC)
