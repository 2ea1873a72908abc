"""The looks of a self-test: what EC2, CloudWatch, the consoles and the ledger show, added to what was seen before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.aws.ec2 import describe
from imdsv2.aws.errors import error_code, error_message
from imdsv2.aws.pages import pages
from imdsv2.domain.instance import Instance
from imdsv2.selftest.account import consoles
from imdsv2.selftest.agenda import CALLER, LINE, QUIET
from imdsv2.selftest.metrics import METRICS, REJECTED
from imdsv2.selftest.script import reported_calls
from imdsv2.selftest.seen import CONSOLES, Answer, Call, Listing, Point, Sight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from imdsv2.selftest.account import Account
    from imdsv2.selftest.home import Home
    from imdsv2.selftest.seen import Entry, Seen

_NAMESPACE = "AWS/EC2"
_FINEST_SECONDS = 60
"""Finer than basic monitoring's five minutes, so that CloudWatch shows the stamps as they are."""
_BEFORE = timedelta(minutes=10)
_REPORTING = (CALLER, QUIET, LINE)
_COMPLETE = "Complete"


def look(account: Account, home: Home, seen: Seen, now: Callable[[], datetime]) -> Seen:
    """Everything that can be seen now. May raise one of CALL_FAILURES."""
    ec2, cloudwatch = account.client("ec2"), account.client("cloudwatch")
    reporting = {role: each for role, each in seen.instances.items() if role in _REPORTING}
    written, unwritten = consoles(ec2, list(reporting.values()))
    called = (call for role, each in reporting.items() for call in reported_calls(role, written[each]))
    entries = (entry for role, each in seen.instances.items() for entry in home.entries(role, account.arn(each)))
    at = now()
    points, complete = _points(cloudwatch, seen, at)
    return replace(
        seen,
        looked_at=at if complete else seen.looked_at,
        sights=(*seen.sights, *sights(ec2, account, seen.instances, now)),
        answers=(*seen.answers, *([] if unwritten is None else [unanswered(CONSOLES, at, unwritten)])),
        points=merged_points(seen.points, points, seen.looked_at),
        listings=_merged_listings(seen, _listed(cloudwatch, seen), at),
        calls=tuple(sorted({*seen.calls, *called}, key=_time)),
        entries=_merged_entries(seen.entries, entries),
    )


def sights(ec2: Any, account: Account, instances: Mapping[str, str], now: Callable[[], datetime]) -> list[Sight]:
    """The instances as the service itself reads them from EC2."""
    arns = {account.arn(each): role for role, each in instances.items()}
    at, shown = now(), describe(ec2, list(arns))
    return [
        Sight(
            role=role,
            at=at,
            state=target.state,
            launched_at=target.launched_at,
            attached_at=target.first_launched_at,
            tokens=target.options.http_tokens,
            endpoint=target.options.http_endpoint,
            hop_limit=target.options.hop_limit,
            stopped_at=target.stopped_at,
        )
        for arn, role in arns.items()
        if isinstance(target := shown[arn], Instance)
    ]


def _points(cloudwatch: Any, seen: Seen, at: datetime) -> tuple[list[Point], bool]:
    """All datapoints of the instances, with their present values, and whether CloudWatch says that these are all."""
    asked = {
        f"m{number}": (metric, role)
        for number, (metric, role) in enumerate((metric, role) for role in seen.instances for metric in METRICS)
    }
    queries = [metric_query(name, metric, seen.instances[role]) for name, (metric, role) in asked.items()]
    request: dict[str, Any] = {"MetricDataQueries": queries, "StartTime": seen.began_at - _BEFORE, "EndTime": at}
    found: list[Point] = []
    statuses: dict[str, str] = {}
    for page in pages(cloudwatch.get_metric_data, **request):
        for result in page["MetricDataResults"]:
            metric, role = asked[result["Id"]]
            # A result that goes on on the next page is `PartialData` until its last one.
            statuses[result["Id"]] = result.get("StatusCode", _COMPLETE)
            found += [
                Point(metric=metric, role=role, at=stamp, total=value, seen_at=at)
                for stamp, value in zip(result["Timestamps"], result["Values"], strict=True)
            ]
    return found, set(statuses.values()) <= {_COMPLETE}


def metric_query(name: str, metric: str, instance_id: str, period: int = _FINEST_SECONDS) -> dict[str, Any]:
    """A query for GetMetricData."""
    dimensions = [{"Name": "InstanceId", "Value": instance_id}]
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {"Namespace": _NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
            "Period": period,
            "Stat": "Sum",
        },
    }


def unanswered(name: str, at: datetime, error: Exception) -> Answer:
    """A call of a look that came to nothing."""
    return Answer(name=name, at=at, code=error_code(error), message=error_message(error), conclusive=False)


def merged_points(
    known: Iterable[Point], found: Iterable[Point], looked_at: datetime | None = None
) -> tuple[Point, ...]:
    """Datapoints as they are now; one that has not changed keeps the time at which it was first seen. ``looked_at``: the look before."""
    merged = {(point.metric, point.role, point.at): point for point in known}
    for point in found:
        key = (point.metric, point.role, point.at)
        before = merged.get(key)
        if before is None or before.total != point.total:
            merged[key] = replace(point, missing_at=looked_at)
    return tuple(sorted(merged.values(), key=_time))


def _listed(cloudwatch: Any, seen: Seen) -> list[str]:
    """The instances that ListMetrics lists with refused calls, as the service's recall asks."""
    listed = pages(cloudwatch.list_metrics, Namespace=_NAMESPACE, MetricName=REJECTED, RecentlyActive="PT3H")
    ids = {each["Value"] for page in listed for metric in page["Metrics"] for each in metric["Dimensions"]}
    return [role for role, each in seen.instances.items() if each in ids]


def _merged_listings(seen: Seen, roles: Iterable[str], at: datetime) -> tuple[Listing, ...]:
    before = {each.role for each in seen.listings}
    new = (Listing(role=role, at=at, missing_at=seen.looked_at) for role in roles if role not in before)
    return (*seen.listings, *new)


def _merged_entries(known: Iterable[Entry], found: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted({*known, *found}, key=_time))


def _time(value: Point | Call | Entry) -> datetime:
    return value.at
