"""Times as people read and write them in the view of the fleet."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from imdsv2_cli.failure import usage

_SPAN = re.compile(r"(\d{1,4})([mhdw])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def span(text: str, option: str) -> timedelta:
    """How long "90m", "2h", "30d" or "2w" is. Raises Failure."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise usage(
            f"{option} takes a number of minutes, hours, days or weeks, not {text[:40]}", todo="write e.g. 12h or 30d"
        )
    return int(found[1]) * _UNITS[found[2]]


def short(text: str) -> str:
    """A time to the minute: `2027-05-01 06:00`; a day stays a day."""
    return text[:16].replace("T", " ")


def ago(text: str, at: datetime) -> str:
    """How far a time is from now: `3 d ago`, `in 2 h`; empty where there is no time."""
    if not text:
        return ""
    when = datetime.fromisoformat(text)
    distance = at - (when if when.tzinfo else when.replace(tzinfo=UTC))
    amount = _amount(abs(distance))
    return f"in {amount}" if distance < timedelta(0) else f"{amount} ago"


def _amount(distance: timedelta) -> str:
    if distance >= timedelta(days=2):
        return f"{distance.days} d"
    minutes = int(distance.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes >= 120 else f"{minutes} min"
