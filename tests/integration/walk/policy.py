"""The policy under which the walk begins, with short windows, so that a walk of some dozens of steps goes through whole lives."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

EXEMPT_TAG = "imdsv2:exempt-until"
CALENDAR = "business-hours"
LOOKBACK = timedelta(days=2)
OBSERVED_HOURS = 12
POLICY: Mapping[str, Any] = {
    "mode": "enforce",
    "lookback_days": LOOKBACK.days,
    "min_observed_hours": OBSERVED_HOURS,
    "min_coverage": 0.5,
    "watch_hours": 6,
    "canary": None,
}
