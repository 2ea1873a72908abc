"""What a check found: one belief, what was expected, what was seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Outcome(StrEnum):
    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of one check. ``seen``: one sentence; if not tried, why. ``raw``: the observations behind it."""

    outcome: Outcome
    expected: str
    seen: str
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a check expects; its methods make the check's result."""

    expected: str

    def judged(self, holds: bool, seen: str, **raw: Any) -> Result:
        outcome = Outcome.CONFIRMED if holds else Outcome.CONTRADICTED
        return Result(outcome=outcome, expected=self.expected, seen=seen, raw=raw)

    def not_tried(self, why: str, **raw: Any) -> Result:
        return Result(outcome=Outcome.NOT_TRIED, expected=self.expected, seen=why, raw=raw)
