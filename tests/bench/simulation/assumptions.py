"""What the simulated fleet is made of. docs/safety.md gives the reasons for each figure; they were put down before the first run.

Times are seconds since 1970.
"""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86_400

BEGIN = int(datetime(2026, 6, 1, 10, tzinfo=UTC).timestamp())
"""A Monday."""
DAYS = 90
END = BEGIN + DAYS * DAY
PAST = BEGIN - 63 * DAY
"""From here on every start and call is known; of what was before, the last start."""

INSTANCES = 10_000
ACCOUNTS = 20
REGIONS = {"eu-west-1": (0.6, 1), "us-east-1": (0.3, -5), "ap-southeast-1": (0.1, 8)}
"""Share of the instances, and hours ahead of UTC."""
LARGEST_COHORT = 200
OPEN_SHARE = 0.1

HABITS = {"steady": 0.5, "patched": 0.35, "office": 0.15}
OLDEST_DAYS = 1000
YOUNGEST_COHORT_DAYS = 14
REPLACED_SHARE = 0.3
RESTARTS_EVERY_DAYS = 200
PATCHED_EVERY_DAYS = 30
DOWN = 15 * MINUTE
OFFICE_HOURS = (8, 18)
BREAK_SHARE = 0.4
BREAK_DAYS = (14, 28)
PARKED_SHARE = 0.03
PARKED_DAYS = (5, 120)
FEW_GAPS, MANY_GAPS = (0.02, (0.01, 0.05)), (0.01, (0.15, 0.3))
"""Shares of the instances, and of their hours that have no datapoint."""

BURSTS_EVERY_DAYS = (2, 60)
BURST_HITS = 0.7
OFFICE_CALLS_EVERY_DAYS = (1, 20)
BOOT_CALL_AFTER = (1 * MINUTE, 5 * MINUTE)
CHANGED_SINCE_SHARE = 0.3
CHANGED_WITHIN_DAYS = 30
