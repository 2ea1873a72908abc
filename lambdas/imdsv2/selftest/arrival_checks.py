"""Checks of when CloudWatch shows what: pure functions from observations to a result.

The self-test looks once a minute, and a look may fail. Something came late only if a look that succeeded did not show it when it should
have been there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.selftest.agenda import CALLER, LINE, QUIET
from imdsv2.selftest.metrics import (
    ACCEPTED,
    ARRIVES_IN,
    CPU,
    NOT_REQUIRED,
    PERIOD,
    REJECTED,
    SURELY_SHOWN_IN,
    in_minutes,
    raw,
    required_since,
)
from imdsv2.selftest.result import Expectation

if TYPE_CHECKING:
    from datetime import datetime

    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Point, Seen

LISTED_IN = timedelta(minutes=15)
"""The longest that an instance may take from its first refused call's datapoint until ListMetrics lists it."""
_STAMP = timedelta(minutes=1)
"""CloudWatch's stamps are whole minutes, in a rehearsal too."""


def datapoints_arrive(seen: Seen) -> Result:
    """CloudWatch shows a datapoint at most 15 minutes after the end of its period."""
    return _arrival(seen, (ACCEPTED, CPU), 200)


def rejections_arrive(seen: Seen) -> Result:
    """CloudWatch shows refused calls at most 15 minutes after the end of their period: so soon does the guard know."""
    return _arrival(seen, (REJECTED,), 401)


def _arrival(seen: Seen, metrics: tuple[str, ...], status: int) -> Result:
    expect = Expectation(
        f"No datapoint is still missing later than {in_minutes(ARRIVES_IN)} after the end of its five minutes."
    )
    points = [point for point in seen.points if point.metric in metrics and point.total]
    missing = [role for role in (CALLER, LINE) if _is_missing(seen, role, metrics[0], status)]
    if missing:
        return expect.judged(
            False, f'Calls of the instance "{missing[0]}" are not in {metrics[0]} yet at the last look.'
        )
    if not points:
        return expect.not_tried(f"There is no datapoint of {' or '.join(metrics)} above 0.")
    longest = seen.agenda_time(ARRIVES_IN - _STAMP) + _STAMP
    late = [each for each in points if each.missing_at is not None and each.missing_at - _ended(each) > longest]
    slowest = max(late or points, key=lambda point: point.seen_at - _ended(point))
    took = in_minutes(slowest.seen_at - _ended(slowest))
    return expect.judged(not late, f"The slowest was first seen after {took}.", **raw((), points))


def _ended(point: Point) -> datetime:
    """The end of the five minutes that a datapoint covers."""
    return point.at + PERIOD


def _is_missing(seen: Seen, role: str, metric: str, status: int) -> bool:
    """Whether calls of an instance should be in the sum of a metric at the last look, and are not; not those that are as good as lost,
    of which the checks of the sum tell."""
    if seen.looked_at is None:
        return False
    ages = [seen.looked_at - (call.at + PERIOD) for call in seen.calls_of(role, "v1", status)]
    due, lost = sum(age > ARRIVES_IN for age in ages), sum(age >= SURELY_SHOWN_IN for age in ages)
    return lost <= sum(point.total for point in seen.points_of(role, metric)) < due


def rejected_is_listed(seen: Seen) -> Result:
    """ListMetrics (RecentlyActive) lists the instance soon after its first refused call is in CloudWatch."""
    expect = Expectation(
        f"ListMetrics lists it at most {in_minutes(LISTED_IN)} after its first datapoint above 0 was seen."
    )
    first = next((point for point in seen.points_of(CALLER, REJECTED) if point.total), None)
    if first is None:
        return expect.not_tried("There is no datapoint of MetadataNoTokenRejected.")
    listed = next((each for each in seen.listings if each.role == CALLER), None)
    if listed is None:
        waited = (seen.looked_at or first.seen_at) - first.seen_at
        said = f"It was not listed within {in_minutes(waited)}."
        return expect.judged(False, said) if waited > seen.agenda_time(LISTED_IN) else expect.not_tried(said)
    after = max(listed.at - first.seen_at, timedelta())
    late = listed.missing_at is not None and listed.missing_at - first.seen_at > seen.agenda_time(LISTED_IN)
    return expect.judged(not late, f"It was listed after {in_minutes(after)}.", listed_at=listed.at)


def clean_is_not_listed(seen: Seen) -> Result:
    """ListMetrics does not list an instance of which nothing was refused."""
    expect = Expectation("An instance that only uses tokens is not listed with MetadataNoTokenRejected.")
    if required_since(seen, QUIET) is None:
        return expect.not_tried(NOT_REQUIRED)
    if any(each.role == QUIET for each in seen.listings):
        return expect.judged(False, "It is listed.")
    if all(each.role != CALLER for each in seen.listings):
        return expect.not_tried("ListMetrics does not list the instance with refused calls either.")
    return expect.judged(True, "It is not listed.")
