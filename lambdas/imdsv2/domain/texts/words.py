"""How numbers and times are said in explanations: UTC, to the minute, an hour as an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sentence(text: str) -> str:
    """What a person gave as a reason, with a full stop if it has no end of its own."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def calls(number: int) -> str:
    return count(number, "IMDSv1 call")


def were(number: int) -> str:
    return "was" if number == 1 else "were"


def are(number: int) -> str:
    return "is" if number == 1 else "are"


def minute(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def hour(begins: datetime | None) -> str:
    """What is known to the hour: ``on 2026-11-20 between 14:00 and 15:00 UTC``."""
    if begins is None:
        return "at an unknown time"
    begins = begins.astimezone(UTC)
    return f"on {begins:%Y-%m-%d} between {begins:%H:%M} and {begins + timedelta(hours=1):%H:%M} UTC"


def day(when: datetime | None) -> str:
    return when.astimezone(UTC).date().isoformat() if when else "an unknown date"
