"""The nightly sweep: whether the schedule starts it, and whether it comes to its end. What people start proves nothing of either."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from imdsv2_cli import times
from imdsv2_cli.doctor.finding import Finding, fault, unproved, well
from imdsv2_cli.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from imdsv2_cli.base import App

NIGHTLY = timedelta(hours=26)
"""A sweep that began longer ago than that was not that of last night."""
_LOOKED_AT = 100
"""The newest sweeps among which the nightly one is looked for; each costs one request, up to the one that is found."""
_MARK = "spare_hours"
"""Of the inputs that start a sweep, only the schedule's has this field."""
_CHECK = "last sweep"


def last_sweep(app: App) -> Iterator[Finding]:
    """The sweep that the schedule started last began last night, and has not failed."""
    others: list[datetime] = []
    for each in islice(_newest(app), _LOOKED_AT):
        if _is_nightly(app, each):
            yield _of_the_night(app, each)
            return
        others.append(each["startDate"])
    yield _never(app, others)


def _newest(app: App) -> Iterator[Mapping[str, Any]]:
    """The executions, the newest first."""
    pages = app.client("stepfunctions").get_paginator("list_executions")
    for page in pages.paginate(stateMachineArn=app.stack_output("SweepStateMachineArn")):
        yield from sorted(page["executions"], key=lambda each: each["startDate"], reverse=True)


def _is_nightly(app: App, execution: Mapping[str, Any]) -> bool:
    """Whether the schedule has started it, by its input; what cannot be read was started by hand."""
    found = app.client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
    try:
        given = json.loads(found.get("input") or "{}")
    except ValueError:
        return False
    return isinstance(given, dict) and _MARK in given


def _of_the_night(app: App, last: Mapping[str, Any]) -> Finding:
    begun, status = f"{last['startDate'].astimezone(UTC):%Y-%m-%d %H:%M} UTC", last["status"]
    age = times.now() - last["startDate"]
    if status not in {"SUCCEEDED", "RUNNING", "PENDING_REDRIVE"}:
        mend = f"aws stepfunctions redrive-execution --execution-arn {last['executionArn']}"
        return fault(_CHECK, f"The nightly one of {begun} has {status.lower().replace('_', ' ')}.", mend)
    if age > NIGHTLY:
        ago = f"{count(age.days, 'day')} and {count(age.seconds // 3600, 'hour')} ago"
        return fault(_CHECK, f"The nightly one began {ago}.", _mend(app))
    return well(_CHECK, f"The nightly one began {begun} and {'succeeded' if status == 'SUCCEEDED' else 'goes on'}.")


def _never(app: App, others: list[datetime]) -> Finding:
    """What is said where the schedule has started none of those that began at these times."""
    if others and times.now() - min(others) > NIGHTLY:
        one = "The last sweep was" if len(others) == 1 else f"All of the last {len(others)} sweeps were"
        return fault(_CHECK, f"{one} started by hand, none by the schedule.", _mend(app))
    return unproved(_CHECK, "The nightly one has not begun yet.", "ask again after 02:30 UTC; meanwhile: imdsv2 sweep")


def _mend(app: App) -> str:
    return f"look at the schedule {app.prefix}-sweep in EventBridge Scheduler; meanwhile: imdsv2 sweep --real"
