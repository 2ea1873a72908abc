"""What the checks of CloudWatch share: metrics, times, and whether CloudWatch shows anything of an instance."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.selftest.agenda import PERIOD_MINUTES
from imdsv2.selftest.seen import CONSOLES, LOOK

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from imdsv2.selftest.seen import Call, Point, Seen

ACCEPTED, REJECTED, CPU = "MetadataNoToken", "MetadataNoTokenRejected", "CPUUtilization"
METRICS = (ACCEPTED, REJECTED, CPU)

PERIOD = timedelta(minutes=PERIOD_MINUTES)
ARRIVES_IN = timedelta(minutes=15)
"""The longest that a datapoint may take from the end of its period until CloudWatch shows it."""
SURELY_SHOWN_IN = timedelta(minutes=30)
"""A datapoint that takes longer is as good as lost. Between the two it is late, which only the checks of arrival judge."""

STEP_NOT_REACHED = "The step was not carried out: the agenda did not reach it."
NOT_REQUIRED = "Tokens could not be required on the instance; the results of that step say why."
TOO_SOON = (
    "The last look came too soon after the calls to tell whether a datapoint is late or missing: start the self-test again, and let it come "
    "to its end."
)


def required_since(seen: Seen, role: str) -> datetime | None:
    """When the self-test required tokens on an instance; None if it did not."""
    answer = seen.answer(f"require {role}")
    return answer.at if answer is not None and seen.is_done(answer.name) else None


def is_shown(seen: Seen, role: str, since: datetime, until: datetime | None = None) -> bool:
    """Whether CloudWatch shows CPUUtilization of an instance in a time, and was asked again long enough after that to show
    everything else of the same five minutes. ``until``: None: up to the last look."""
    if seen.looked_at is None:
        return False
    begins, ends = since + seen.agenda_time(PERIOD), seen.looked_at - seen.agenda_time(PERIOD + ARRIVES_IN)
    return any(
        begins < point.at + PERIOD and point.at <= ends and (until is None or point.at < until)
        for point in seen.points_of(role, CPU)
    )


def not_shown(seen: Seen, role: str) -> str:
    """Why nothing follows from the datapoints that are not there."""
    why = (
        f'CloudWatch shows no CPUUtilization of the instance "{role}" of that time either, or too late, so a missing datapoint '
        "says nothing."
    )
    return why + _failed_looks(seen)


def no_calls(seen: Seen) -> str:
    """Why nothing follows where an instance reported no call that was answered as the check needs it."""
    answer = seen.answer(CONSOLES)
    if answer is not None:
        return f"EC2 does not show the consoles ({answer.code}: {answer.message.rstrip('.')}): permit ec2:GetConsoleOutput to the self-test's role."
    return (
        "The instance reported no call that was answered so: look at its console, user data and network card, and whether "
        "something else in the account changes metadata options; then start again." + _failed_looks(seen)
    )


def _failed_looks(seen: Seen) -> str:
    answer = seen.answer(LOOK)
    return f" A look failed: {answer.code}: {answer.message}" if answer is not None else ""


def in_minutes(time: timedelta) -> str:
    """For sentences."""
    return f"{time.total_seconds() / 60:.1f} min"


def raw(calls: Iterable[Call], points: Iterable[Point]) -> dict[str, Any]:
    """The observations behind a result."""
    return {
        "calls": [f"{call.at.isoformat()} {call.status}" for call in calls],
        "datapoints": [
            f"{point.at.isoformat()} {point.metric} {point.total:g}, seen {point.seen_at.isoformat()}"
            for point in points
        ],
    }
