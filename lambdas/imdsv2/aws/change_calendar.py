"""SSM Change Calendar: whether changes are allowed now. An unreadable calendar counts as closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.gates import CalendarState

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

_FRESH_FOR = timedelta(seconds=20)


class ChangeCalendar:
    """Reads the state of calendars, cached for 20 seconds.

    IAM: ``ssm:GetCalendarState`` for the function's own role. A calendar in another account must be shared with this
    one.
    """

    def __init__(self, ssm: SSMClient) -> None:
        self._ssm = ssm
        self._read: dict[str, tuple[datetime, CalendarState]] = {}

    def state(self, calendar: str, now: datetime) -> CalendarState:
        """The state of a calendar (name or ARN) now. Never raises: an unreadable calendar counts as closed."""
        known = self._read.get(calendar)
        if known is None or now - known[0] >= _FRESH_FOR:
            self._read[calendar] = known = (now, self._ask(calendar))
        return known[1]

    def _ask(self, calendar: str) -> CalendarState:
        try:
            answer = self._ssm.get_calendar_state(CalendarNames=[calendar])
        except CALL_FAILURES as error:
            why = f"The change calendar {calendar} cannot be read ({describe_error(error)}); correct change_calendar in the policy."
            return CalendarState(closed=why)
        changes_at = _time(answer.get("NextTransitionTime"))
        if answer.get("State") == "OPEN":
            return CalendarState(closed=None, changes_at=changes_at)
        until = f" until {changes_at:%Y-%m-%d %H:%M UTC}" if changes_at else ""
        return CalendarState(closed=f"The change calendar {calendar} is closed{until}.", changes_at=changes_at)


def _time(text: str | None) -> datetime | None:
    """Parse SSM's ISO 8601 time; None if it is absent, malformed or without an offset."""
    try:
        when = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return when.astimezone(UTC) if when is not None and when.tzinfo is not None else None
