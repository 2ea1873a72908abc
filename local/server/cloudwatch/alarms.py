"""CloudWatch alarms, evaluated when somebody asks, as if as much time had passed as they say.

    PUT /_local/alarms {"account", "region", "names": [...], "passed": seconds} -> {name: state}

What was published so far is moved so many seconds into the past. As CloudWatch documents it: the newest periods end at the moment of the evaluation, not on the hour. It looks further back than the
periods that it needs, takes the newest data points that are there, and fills up with how the alarm treats missing ones. Alarms notify
topics when their state changes. ministack evaluates on every PutMetricData instead, without dimensions, missing data and expressions.

Known expressions: the sum of several metrics whose gaps are 0, and one metric whose gaps have a value. Metrics in AWS/EC2 are kept
elsewhere, and no alarm watches them.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
import math
import operator
import re
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import gateway
from local.server import platform as ms
from local.server.cloudwatch import published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from local.server.platform import Response

Json: TypeAlias = dict[str, Any]

MINUTE: Final = 60
FURTHER: Final = 2
"""Periods beyond those that an alarm needs, in which CloudWatch looks for data points: AWS's examples look at five for an alarm on three."""
SUM_OF_ALL: Final = "SUM(FILL(METRICS(), 0))"
FILLED: Final = re.compile(r"FILL\((\w+), (\d+)\)")
BREACHES: Final[dict[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}


def install() -> None:
    """Evaluate on request only."""
    ms.cloudwatch._evaluate_all_alarms = lambda: None
    ms.cloudwatch._evaluate_alarm = lambda _alarm: None
    gateway.route("alarms", _evaluate_route)


def _evaluate_route(_method: str, body: bytes) -> Response:
    asked = json.loads(body)
    at = math.ceil(time.time() / MINUTE) * MINUTE
    with ms.acting_in(asked["account"], asked["region"]):
        unknown = [name for name in asked["names"] if name not in ms.cloudwatch._alarms]
        if unknown:
            return gateway.json_response({"error": f"no alarm {', '.join(unknown)}"}, 400)
        published.move_back(asked["passed"])
        if asked["names"]:
            published.measure_queues(asked["passed"])
        states = {name: _evaluate(ms.cloudwatch._alarms[name], at) for name in asked["names"]}
    return gateway.json_response(states)


def _evaluate(alarm: Json, at: int) -> str:
    """The state as of a whole minute; whoever is to be told of a change is."""
    old: str = alarm["StateValue"]
    points = _points(alarm, at)
    new = _state(alarm, points, old)
    if new != old:
        reason = f"{len(points)} data points: {[point for point in points if point is not None]}"
        alarm |= {"StateValue": new, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
        ms.cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
        ms.cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
    return new


def _state(alarm: Json, points: Sequence[float | None], old: str) -> str:
    """`points`: newest first; None: missing."""
    needed = int(alarm["EvaluationPeriods"])
    real = [point for point in points if point is not None][:needed]
    breaches = BREACHES[alarm["ComparisonOperator"]]
    breaching = [breaches(point, float(alarm["Threshold"])) for point in real]
    if not real:
        none = {"breaching": "ALARM", "notBreaching": "OK", "ignore": old}
        return none.get(alarm["TreatMissingData"], "INSUFFICIENT_DATA")
    filled = [alarm["TreatMissingData"] == "breaching"] * (needed - len(real))
    return "ALARM" if all([*breaching, *filled]) else "OK"


def _points(alarm: Json, at: int) -> list[float | None]:
    """The values of the periods of the evaluation range, newest first."""
    period = _period(alarm)
    ends = [at - number * period for number in range(int(alarm["EvaluationPeriods"]) + FURTHER)]
    return [_point(alarm, end - period, end) for end in ends]


def _period(alarm: Json) -> int:
    return int(alarm.get("Period") or 0) if alarm["MetricName"] else int(next(_stats(alarm))["Period"])


def _point(alarm: Json, start: int, end: int) -> float | None:
    if alarm["MetricName"]:
        metric = {name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions")}
        return published.read(metric, alarm["Statistic"], start, end)
    values = {each["Id"]: published.read(each["Metric"], each["Stat"], start, end) for each in _stats(alarm)}
    expression = next(each["Expression"] for each in alarm["Metrics"] if "Expression" in each)
    if expression == SUM_OF_ALL:
        return sum(value or 0 for value in values.values())
    if match := FILLED.fullmatch(expression):
        value = values[match[1]]
        return float(match[2]) if value is None else value
    raise ValueError(f"the local AWS knows no alarm on the expression {expression}")


def _stats(alarm: Json) -> Iterator[Json]:
    """The metrics of an alarm on an expression, each with its id."""
    return ({"Id": each["Id"], **each["MetricStat"]} for each in alarm["Metrics"] if "MetricStat" in each)
