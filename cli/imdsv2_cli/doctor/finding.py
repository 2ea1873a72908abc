"""What an examination found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a part is."""

    FAULT = "fault"
    UNPROVED = "unproved"
    WELL = "well"


OUTCOMES = tuple(Outcome)


@dataclass(frozen=True, slots=True)
class Finding:
    """One part, how it is, and what to do about it. ``mend``: a command or a sentence; empty where nothing is wrong."""

    check: str
    outcome: Outcome
    found: str
    mend: str = ""

    def row(self) -> dict[str, str]:
        """The finding as a row."""
        return {"check": self.check, "outcome": str(self.outcome), "found": self.found, "mend": self.mend}


def well(check: str, found: str) -> Finding:
    """All is as it has to be."""
    return Finding(check, Outcome.WELL, found)


def fault(check: str, found: str, mend: str) -> Finding:
    """Something keeps the service from its work."""
    return Finding(check, Outcome.FAULT, found, mend)


def unproved(check: str, found: str, mend: str = "") -> Finding:
    """It could not be asked, or nothing is there that would prove it."""
    return Finding(check, Outcome.UNPROVED, found, mend)
