"""The content of change calendars, as the console of SSM writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NOTHING = ("BEGIN:VTODO", "DTSTAMP:20260101T000000Z", "UID:none", "SUMMARY:No event yet", "END:VTODO")
"""What the console puts into a calendar that is new."""


def calendar(*events: str, kind: str = "DEFAULT_OPEN") -> str:
    """A calendar that is open by default, or closed (`DEFAULT_CLOSED`), with events that are each a few lines."""
    lines = ["BEGIN:VCALENDAR", "PRODID:-//AWS//Change Calendar 1.0//EN", "VERSION:2.0", f"X-CALENDAR-TYPE:{kind}"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}", "DTSTAMP:20260101T000000Z", *event.split("\n"), "END:VEVENT"]
    return "\r\n".join([*lines, *NOTHING, "END:VCALENDAR", ""])


def event(start: datetime, end: datetime) -> str:
    """An event that lasts once from a time in UTC to another."""
    return f"DTSTART:{start:%Y%m%dT%H%M%SZ}\nDTEND:{end:%Y%m%dT%H%M%SZ}"
