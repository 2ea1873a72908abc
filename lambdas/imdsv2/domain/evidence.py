"""What CloudWatch remembers of the use of IMDSv1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What CloudWatch remembers of an instance's use of IMDSv1.

    ``problem`` is set where an answer was not complete; then nothing else here may be relied on. ``coverage`` is the
    share of the hours in which the instance ran that have a datapoint; where the metric alone shows enough, it is a
    lower bound, because the hours in which the instance did not run were not asked for.
    """

    window_start: datetime
    window_end: datetime
    window_known: bool = True
    problem: str | None = None
    throttled: bool = False
    tokenless_calls: int = 0
    last_tokenless_call: datetime | None = None
    boot_observed: bool = False
    boot_observable_at: datetime | None = None
    boot_forgotten: bool = False
    boot_tokenless_calls: int = 0
    observed_hours: int = 0
    coverage: float = 0.0
    older_tokenless_calls: int = 0
    older_last_tokenless_call: datetime | None = None
    period_seconds: int = 3600
