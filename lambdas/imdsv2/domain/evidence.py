"""IMDSv1 use as recorded by CloudWatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """An instance's IMDSv1 use as recorded by CloudWatch.

    If ``problem`` is set, CloudWatch's answer was incomplete and no other field is reliable. ``coverage`` is the share
    of the instance's running hours that have a datapoint. If the IMDSv1 metric alone is sufficient, the running hours
    are not queried and ``coverage`` is a lower bound.
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
