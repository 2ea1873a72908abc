"""Times as people write them: a day, a moment, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from imdsv2_cli.failure import usage

_SPAN = re.compile(r"(\d{1,5})\s*([mhdw])", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def span(text: str) -> timedelta | None:
    """How long "90m", "2h", "30d" or "2w" is; None for anything else."""
    match = _SPAN.fullmatch(text.strip().lower())
    return int(match[1]) * _UNITS[match[2]] if match else None


def moment(text: str, option: str) -> datetime:
    """A past moment: ISO 8601 (UTC where no zone is given), a day, "now", or how long ago, e.g. 2h. Raises Failure."""
    at = now()
    if text.strip().lower() == "now":
        return at
    ago = span(text)
    try:
        if ago is not None:
            return at - ago
        when = datetime.fromisoformat(text.strip())
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise usage(
            f"{option} takes a moment, not {text[:40]}", todo="write e.g. 2027-05-01T06:00:00Z, 2027-05-01 or 2h"
        ) from error


def end(text: str, option: str) -> datetime:
    """The end of a past span: as `moment`, but a day is meant up to its last moment; never later than now. Raises Failure."""
    at, present = moment(text, option), now()
    if _DAY.fullmatch(text.strip()) and at < present:
        at += timedelta(days=1) - timedelta(microseconds=1)
    return min(at, present)


def day(text: str, option: str) -> date:
    """A day from today on: YYYY-MM-DD, or how far ahead, e.g. 30d. Raises Failure."""
    ahead = span(text)
    try:
        when = (now() + ahead).date() if ahead is not None else date.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise usage(f"{option} takes a day, not {text[:40]}", todo="write e.g. 2027-05-31 or 30d") from error
    if when < now().date():
        raise usage(f"{option} takes a day that is still to come, not {when}", todo="write e.g. 2027-05-31 or 30d")
    return when


def to_text(when: datetime) -> str:
    """A moment as the service takes it."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
