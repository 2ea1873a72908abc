"""Checks of what CloudWatch says: pure functions from observations to a result."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from imdsv2.selftest.agenda import CALLER, CLOSED, PERIOD_MINUTES, QUIET
from imdsv2.selftest.result import Expectation
from imdsv2.selftest.seen import OK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Call, Point, Seen

ACCEPTED, REJECTED, CPU = "MetadataNoToken", "MetadataNoTokenRejected", "CPUUtilization"
METRICS = (ACCEPTED, REJECTED, CPU)

PERIOD = timedelta(minutes=PERIOD_MINUTES)
ARRIVES_IN = timedelta(minutes=15)
"""The longest that a datapoint may take from the end of its period until CloudWatch shows it."""
LONG_ENOUGH_MINUTES = 15
"""Of the agenda: an instance that ran so long has datapoints."""
LISTED_IN = timedelta(minutes=15)
"""The longest that an instance may take from its first refused call's datapoint until ListMetrics lists it."""
STEP_NOT_REACHED = "The step was not carried out: the agenda did not reach it."
_NO_CALLS = (
    "The instance reported no such call on its console: look at its user data and network card, then start again."
)
_NOT_REQUIRED = "Tokens could not be required on the instance; the results of that step say why."


def counts_tokenless_calls(seen: Seen) -> Result:
    """Every call without a token that the metadata service answered is in the sum of MetadataNoToken, once."""
    return _sum(seen, ACCEPTED, 200)


def zero_without_calls(seen: Seen) -> Result:
    """An instance that only uses tokens has datapoints of MetadataNoToken, all of them 0."""
    expect = Expectation("MetadataNoToken has datapoints, and all are 0.")
    if not seen.calls_of(QUIET, "v2", 200):
        return expect.not_tried(_NO_CALLS)
    since = _required_since(seen, QUIET)
    points = [point for point in seen.points_of(QUIET, ACCEPTED) if since is None or point.at < since]
    used = [point for point in points if point.total]
    return expect.judged(
        bool(points) and not used, f"{len(points)} datapoints, {len(used)} above 0.", **_raw((), points)
    )


def stamped_with_start(seen: Seen) -> Result:
    """The datapoint with a call begins at most five minutes before the call, and never after it."""
    return _stamps(seen, ACCEPTED, seen.calls_of(CALLER, "v1", 200))


def rejected_in_its_period(seen: Seen) -> Result:
    """MetadataNoTokenRejected has a datapoint whose five minutes contain the refused call."""
    return _stamps(seen, REJECTED, seen.calls_of(CALLER, "v1", 401))


def _stamps(seen: Seen, metric: str, calls: list[Call]) -> Result:
    expect = Expectation(
        f"Each call lies in the five minutes that begin with the stamp of a datapoint of {metric} above 0."
    )
    if not calls:
        return expect.not_tried(_NO_CALLS)
    points = [point for point in seen.points_of(CALLER, metric) if point.total]
    # The stamp has whole minutes; the instance reports the second at which the answer came.
    outside = [
        call
        for call in calls
        if not any(point.at <= call.at < point.at + PERIOD + timedelta(seconds=3) for point in points)
    ]
    stamps = ", ".join(f"{point.at:%H:%M}" for point in points) or "none"
    return expect.judged(
        not outside, f"{len(outside)} of {len(calls)} calls lie outside; stamps: {stamps}.", **_raw(calls, points)
    )


def datapoints_arrive(seen: Seen) -> Result:
    """CloudWatch shows a datapoint at most 15 minutes after the end of its period."""
    return _arrival(seen, (ACCEPTED, CPU), ARRIVES_IN)


def rejections_arrive(seen: Seen) -> Result:
    """CloudWatch shows refused calls at most 15 minutes after the end of their period: so soon does the guard know."""
    return _arrival(seen, (REJECTED,), ARRIVES_IN)


def _arrival(seen: Seen, metrics: tuple[str, ...], most: timedelta) -> Result:
    expect = Expectation(f"No datapoint is first seen later than {_minutes(most)} after the end of its five minutes.")
    points = [point for point in seen.points if point.metric in metrics and point.total]
    if not points:
        return expect.not_tried(f"There is no datapoint of {' or '.join(metrics)} above 0.")
    slowest = max(points, key=_delay)
    return expect.judged(
        _delay(slowest) <= most, f"The slowest came after {_minutes(_delay(slowest))}.", **_raw((), points)
    )


def _delay(point: Point) -> timedelta:
    return point.seen_at - (point.at + PERIOD)


def accepted_ends_with_required(seen: Seen) -> Result:
    """Once tokens are required, MetadataNoToken is absent or 0, also while calls are refused."""
    expect = Expectation("After `required`, MetadataNoToken has no datapoint, or only 0.")
    since = _required_since(seen, CALLER)
    if since is None:
        return expect.not_tried(_NOT_REQUIRED)
    later = [point for role in (CALLER, QUIET) for point in seen.points_of(role, ACCEPTED) if point.at >= since]
    used = [point for point in later if point.total]
    goes_on = f"it goes on at 0 ({len(later)} datapoints)" if later else "it ends"
    return expect.judged(not used, f"{len(used)} datapoints above 0; {goes_on}.", **_raw((), later))


def rejected_counts(seen: Seen) -> Result:
    """Every refused call is in the sum of MetadataNoTokenRejected, once."""
    return _sum(seen, REJECTED, 401)


def _sum(seen: Seen, metric: str, status: int) -> Result:
    """Whether the sum of a metric is the number of calls. The image's own software may call too: as often as on the quiet one."""
    expect = Expectation(
        f"The sum of {metric} is the number of calls without a token that were answered with {status}."
    )
    calls, points = seen.calls_of(CALLER, "v1", status), seen.points_of(CALLER, metric)
    if not calls:
        return expect.not_tried(_NO_CALLS)
    total = sum(point.total for point in points)
    beside = sum(point.total for point in seen.points_of(QUIET, metric))
    holds = len(calls) <= total <= len(calls) + beside
    said = f"{len(calls)} calls, sum {total:g}; on the quiet instance {beside:g}."
    return expect.judged(holds, said, **_raw(calls, points))


def rejected_silent_when_clean(seen: Seen) -> Result:
    """An instance that only uses tokens has no MetadataNoTokenRejected, or only 0."""
    expect = Expectation("MetadataNoTokenRejected has no datapoint, or only 0, where nothing was refused.")
    if _required_since(seen, QUIET) is None:
        return expect.not_tried(_NOT_REQUIRED)
    points = seen.points_of(QUIET, REJECTED)
    used = [point for point in points if point.total]
    said = f"{len(points)} datapoints at 0" if points else "no datapoint"
    return expect.judged(not used, f"{len(used)} above 0." if used else f"There is {said}.", **_raw((), points))


def rejected_is_listed(seen: Seen) -> Result:
    """ListMetrics (RecentlyActive) lists the instance soon after its first refused call is in CloudWatch."""
    expect = Expectation(
        f"ListMetrics lists it at most {_minutes(LISTED_IN)} after its first datapoint above 0 was seen."
    )
    first = next((point for point in seen.points_of(CALLER, REJECTED) if point.total), None)
    if first is None:
        return expect.not_tried("There is no datapoint of MetadataNoTokenRejected.")
    listed = next((each for each in seen.listings if each.role == CALLER), None)
    if listed is None:
        waited = (seen.looked_at or first.seen_at) - first.seen_at
        said = f"It was not listed within {_minutes(waited)}."
        return expect.judged(False, said) if waited > LISTED_IN else expect.not_tried(said)
    after = listed.at - first.seen_at
    return expect.judged(
        after <= LISTED_IN, f"It was listed after {_minutes(max(after, timedelta()))}.", listed_at=listed.at
    )


def clean_is_not_listed(seen: Seen) -> Result:
    """ListMetrics does not list an instance of which nothing was refused."""
    expect = Expectation("An instance that only uses tokens is not listed with MetadataNoTokenRejected.")
    if _required_since(seen, QUIET) is None:
        return expect.not_tried(_NOT_REQUIRED)
    listed = [each for each in seen.listings if each.role == QUIET]
    return expect.judged(not listed, "It is listed." if listed else "It is not listed.")


def cpu_while_running(seen: Seen) -> Result:
    """CPUUtilization has a datapoint for every five minutes in which the instance ran."""
    expect = Expectation(
        "No gap of more than five minutes lies between datapoints of CPUUtilization of a running instance."
    )
    if not seen.calls_of(CALLER, "v2", 200):
        return expect.not_tried(_NO_CALLS)
    points = seen.points_of(CALLER, CPU)
    if len(points) < 2 or seen.looked_at is None:
        return (
            expect.judged(False, f"{len(points)} datapoints.")
            if seen.looked_at
            else expect.not_tried("Nothing was looked at.")
        )
    times = [point.at for point in points]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    fresh = seen.looked_at - times[-1] <= PERIOD + ARRIVES_IN
    said = f"{len(points)} datapoints, longest distance {_minutes(max(gaps))}, the last at {times[-1]:%H:%M}."
    return expect.judged(max(gaps) <= PERIOD and fresh, said, **_raw((), points))


def closed_counts_nothing(seen: Seen) -> Result:
    """An instance whose endpoint is disabled has no MetadataNoToken above 0."""
    expect = Expectation("MetadataNoToken has no datapoint, or only 0, while the endpoint is disabled.")
    long_enough = seen.began_at + timedelta(seconds=LONG_ENOUGH_MINUTES * seen.minute_seconds)
    if not any(sight.state == "running" and sight.at >= long_enough for sight in seen.sights_of(CLOSED)):
        return expect.not_tried("The instance was not seen running for long enough.")
    used = [point for point in seen.points_of(CLOSED, ACCEPTED) if point.total]
    return expect.judged(not used, f"{len(used)} datapoints above 0.", **_raw((), used))


def empty_is_complete(seen: Seen) -> Result:
    """GetMetricData answers `Complete`, without values, for a metric that has no datapoint."""
    expect = Expectation("One result, with the status `Complete` and no values.")
    answer = seen.answer("empty metric")
    if answer is None or not answer.conclusive:
        return expect.not_tried(f"CloudWatch gave no answer ({answer.code})." if answer else STEP_NOT_REACHED)
    results = answer.raw.get("results", [])
    said = f"CloudWatch answered {answer.code} with {results}."
    return expect.judged(results == [{"status": "Complete", "values": []}], said, **answer.raw)


def _required_since(seen: Seen, role: str) -> datetime | None:
    """When tokens were required on an instance; None if they were not."""
    answer = seen.answer(f"require {role}")
    return answer.at if answer is not None and answer.code == OK else None


def _minutes(time: timedelta) -> str:
    return f"{time.total_seconds() / 60:.1f} min"


def _raw(calls: Iterable[Call], points: Iterable[Point]) -> dict[str, Any]:
    return {
        "calls": [f"{call.at.isoformat()} {call.status}" for call in calls],
        "datapoints": [
            f"{point.at.isoformat()} {point.metric} {point.total:g}, seen {point.seen_at.isoformat()}"
            for point in points
        ],
    }
