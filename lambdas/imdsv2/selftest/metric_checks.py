"""Checks of what CloudWatch's datapoints say: pure functions from observations to a result.

No datapoint proves nothing by itself: it may be late, and CloudWatch may show nothing of the instance at all. A check that finds none
asks first whether CloudWatch shows other datapoints of that instance and time.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from imdsv2.selftest.agenda import CALLER, CALLS_OF_CALLER, CLOSED, QUIET
from imdsv2.selftest.metrics import (
    ACCEPTED,
    CPU,
    NOT_REQUIRED,
    PERIOD,
    REJECTED,
    STEP_NOT_REACHED,
    SURELY_SHOWN_IN,
    TOO_SOON,
    in_minutes,
    is_shown,
    no_calls,
    not_shown,
    raw,
    required_since,
)
from imdsv2.selftest.result import Expectation
from imdsv2.selftest.seen import OK

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Call, Seen, Sight


_COUNTED_LATE = timedelta(minutes=1)
"""Counters are read once a minute, so a call may be counted in the minute after it. Nothing relies on that: a call that is credited to a
later time than its own is never taken for one from before a start or a change."""


def counts_tokenless_calls(seen: Seen) -> Result:
    """Every call without a token that the metadata service answered is in the sum of MetadataNoToken, once."""
    return _sum(seen, ACCEPTED, 200)


def zero_without_calls(seen: Seen) -> Result:
    """An instance that only uses tokens has datapoints of MetadataNoToken, all of them 0."""
    expect = Expectation("MetadataNoToken has datapoints, and all are 0.")
    if not seen.calls_of(QUIET, "v2", 200):
        return expect.not_tried(no_calls(seen))
    since = required_since(seen, QUIET)
    points = [point for point in seen.points_of(QUIET, ACCEPTED) if since is None or point.at < since]
    used = [point for point in points if point.total]
    if not points:
        if _was_closed_by_another(seen, QUIET, since):
            return expect.not_tried("Somebody else required tokens on the instance before the self-test did.")
        if not is_shown(seen, QUIET, seen.began_at, since):
            return expect.not_tried(not_shown(seen, QUIET))
    return expect.judged(
        bool(points) and not used, f"{len(points)} datapoints, {len(used)} above 0.", **raw((), points)
    )


def _was_closed_by_another(seen: Seen, role: str, since: datetime | None) -> bool:
    """Whether tokens were required before the self-test required them, e.g. by a rule of the organisation."""
    return any(sight.tokens == "required" for sight in seen.sights_of(role) if since is None or sight.at < since)


def stamped_with_start(seen: Seen) -> Result:
    """The datapoint with a call begins at most five minutes before the call, and never after it."""
    return _stamps(seen, ACCEPTED, 200)


def rejected_in_its_period(seen: Seen) -> Result:
    """MetadataNoTokenRejected has a datapoint whose five minutes contain the refused call."""
    return _stamps(seen, REJECTED, 401)


def _stamps(seen: Seen, metric: str, status: int) -> Result:
    expect = Expectation(
        f"Each call lies in the five minutes that begin with the stamp of a datapoint of {metric} above 0, or less than a minute before them."
    )
    calls = seen.calls_of(CALLER, "v1", status)
    if not calls:
        return expect.not_tried(no_calls(seen))
    points = [point for point in seen.points_of(CALLER, metric) if point.total]
    if not points:
        return expect.not_tried(f"There is no datapoint of {metric} above 0, so there is no stamp.")
    calls = _surely_shown(seen, calls)
    if not calls:
        return expect.not_tried(TOO_SOON)
    # The instance reports the second at which the answer came.
    outside = [
        call
        for call in calls
        if not any(point.at - _COUNTED_LATE < call.at < point.at + PERIOD + timedelta(seconds=3) for point in points)
    ]
    stamps = ", ".join(f"{point.at:%H:%M}" for point in points)
    return expect.judged(
        not outside, f"{len(outside)} of {len(calls)} calls lie outside; stamps: {stamps}.", **raw(calls, points)
    )


def _surely_shown(seen: Seen, calls: list[Call]) -> list[Call]:
    """The calls that are so old at the last look that a datapoint which is not there by then is lost, and not late."""
    if seen.looked_at is None:
        return []
    before = seen.looked_at - seen.agenda_time(PERIOD + SURELY_SHOWN_IN)
    return [call for call in calls if call.at <= before]


def accepted_ends_with_required(seen: Seen) -> Result:
    """Once tokens are required, MetadataNoToken is absent or 0, also while calls are refused."""
    expect = Expectation("After `required`, MetadataNoToken has no datapoint, or only 0.")
    since = required_since(seen, CALLER)
    if since is None:
        return expect.not_tried(NOT_REQUIRED)
    later = [point for role in (CALLER, QUIET) for point in seen.points_of(role, ACCEPTED) if point.at >= since]
    used = [point for point in later if point.total]
    if not later and not is_shown(seen, CALLER, since):
        return expect.not_tried(not_shown(seen, CALLER))
    goes_on = f"it goes on at 0 ({len(later)} datapoints)" if later else "it ends"
    return expect.judged(not used, f"{len(used)} datapoints above 0; {goes_on}.", **raw((), later))


def rejected_counts(seen: Seen) -> Result:
    """Every refused call is in the sum of MetadataNoTokenRejected, once."""
    return _sum(seen, REJECTED, 401)


def _sum(seen: Seen, metric: str, status: int) -> Result:
    """Whether the sum of a metric is the number of calls. The image's own software may call too: as often as on the quiet one.

    The last calls may not be in it yet, and a call that the console does not tell of may be in it.
    """
    expect = Expectation(
        f"The sum of {metric} is the number of calls without a token that were answered with {status}."
    )
    calls, points = seen.calls_of(CALLER, "v1", status), seen.points_of(CALLER, metric)
    if not calls:
        return expect.not_tried(no_calls(seen))
    total = sum(point.total for point in points)
    beside = sum(point.total for point in seen.points_of(QUIET, metric))
    old_enough = len(_surely_shown(seen, calls))
    said = f"{len(calls)} calls, sum {total:g}; on the quiet instance {beside:g}."
    if not old_enough:
        return expect.not_tried(f"{said} {TOO_SOON}")
    reported = sum(len(seen.calls_of(CALLER, "v1", each)) for each in (200, 401))
    if total > len(calls) + beside and reported < CALLS_OF_CALLER:
        return expect.not_tried(
            f"{said} The console tells of {reported} of {CALLS_OF_CALLER} calls that the instance was to make: others may be in the sum. "
            "Start the self-test again."
        )
    return expect.judged(old_enough <= total <= len(calls) + beside, said, **raw(calls, points))


def rejected_silent_when_clean(seen: Seen) -> Result:
    """An instance that only uses tokens has no MetadataNoTokenRejected, or only 0."""
    expect = Expectation("MetadataNoTokenRejected has no datapoint, or only 0, where nothing was refused.")
    since = required_since(seen, QUIET)
    if since is None:
        return expect.not_tried(NOT_REQUIRED)
    points = seen.points_of(QUIET, REJECTED)
    used = [point for point in points if point.total]
    if not points and not is_shown(seen, QUIET, since):
        return expect.not_tried(not_shown(seen, QUIET))
    said = f"{len(points)} datapoints at 0" if points else "no datapoint"
    return expect.judged(not used, f"{len(used)} above 0." if used else f"There is {said}.", **raw((), points))


def cpu_while_running(seen: Seen) -> Result:
    """CPUUtilization has a datapoint for every five minutes in which the instance ran."""
    expect = Expectation(
        "No gap of more than five minutes lies between datapoints of CPUUtilization of a running instance."
    )
    if not seen.calls_of(CALLER, "v2", 200):
        return expect.not_tried(no_calls(seen))
    running, others = _states(seen, CALLER)
    if others:
        return expect.not_tried(f"The instance was {others[0].state} for a time, and the self-test did not do that.")
    if seen.looked_at is None or not running:
        return expect.not_tried("CloudWatch gave no complete answer, or the instance was not seen running.")
    points = seen.points_of(CALLER, CPU)
    until = min(seen.looked_at, running[-1].at)
    if not points and until - seen.began_at < 2 * PERIOD + SURELY_SHOWN_IN:
        return expect.not_tried(TOO_SOON)
    times = [point.at for point in points] or [seen.began_at]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    longest = max(gaps, default=timedelta())
    fresh = until - times[-1] <= PERIOD + SURELY_SHOWN_IN
    said = f"{len(points)} datapoints, longest distance {in_minutes(longest)}, the last at {times[-1]:%H:%M}."
    return expect.judged(bool(points) and longest <= PERIOD and fresh, said, **raw((), points))


def _states(seen: Seen, role: str) -> tuple[list[Sight], list[Sight]]:
    """The looks at a running instance, and those between them at which it did not run."""
    sights = seen.sights_of(role)
    running = [sight for sight in sights if sight.state == "running"]
    between = [each for each in sights if running and running[0].at < each.at < running[-1].at]
    return running, [each for each in between if each.state != "running"]


def closed_counts_nothing(seen: Seen) -> Result:
    """An instance whose endpoint is disabled has no MetadataNoToken above 0."""
    expect = Expectation("MetadataNoToken has no datapoint, or only 0, while the endpoint is disabled.")
    closed = next((sight for sight in seen.sights_of(CLOSED) if sight.endpoint == "disabled"), None)
    if closed is None:
        return expect.not_tried("The instance was not seen with its endpoint disabled.")
    if not is_shown(seen, CLOSED, closed.at):
        return expect.not_tried(not_shown(seen, CLOSED))
    used = [point for point in seen.points_of(CLOSED, ACCEPTED) if point.total and point.at >= closed.at]
    return expect.judged(not used, f"{len(used)} datapoints above 0.", **raw((), used))


def empty_is_complete(seen: Seen) -> Result:
    """GetMetricData answers `Complete`, without values, for a metric that has no datapoint."""
    expect = Expectation("One result, with the status `Complete` and no values.")
    answer = seen.answer("empty metric")
    if answer is None or not answer.conclusive:
        return expect.not_tried(f"CloudWatch gave no answer ({answer.code})." if answer else STEP_NOT_REACHED)
    results = answer.raw.get("results", [])
    said = f"CloudWatch answered {answer.code} with {results}."
    if answer.code == OK and any(each.get("values") for each in results):
        return expect.not_tried(f"{said} The metric has datapoints already: something on the instance calls IMDSv1.")
    return expect.judged(results == [{"status": "Complete", "values": []}], said, **answer.raw)


def hours_sum_up(seen: Seen) -> Result:
    """By the hour, CloudWatch shows the sum of the same hour's finer datapoints: evidence is read by the hour."""
    expect = Expectation("The sums of MetadataNoToken by the hour and by five minutes are the same, and not 0.")
    answer = seen.answer("hours")
    if answer is None or not answer.conclusive:
        return expect.not_tried(f"CloudWatch gave no answer ({answer.code})." if answer else STEP_NOT_REACHED)
    results = answer.raw.get("results", [])
    if len(results) != 2 or any(each.get("status") != "Complete" for each in results):
        return expect.not_tried(f"CloudWatch answered {answer.code} with {results}.")
    fine, hours = (sum(each.get("values", [])) for each in results)
    if not fine and not hours:
        return expect.not_tried("CloudWatch shows no call by either. " + no_calls(seen))
    return expect.judged(fine == hours, f"By the hour {hours:g}, by five minutes {fine:g}.", **answer.raw)
