"""How many billable units the work of a number of instances takes, calculated from what was metered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Policy
from tests.bench.cost.assumptions import (
    BATCH,
    CHANGES_A_SECOND,
    CUSTOM_METRICS,
    DAYS,
    FINDINGS_A_MONTH,
    HELD_SHARE,
    KEY_REQUESTS_A_MONTH,
    MEMORY_GB,
    ORGANISATIONS,
    PASSES_A_MONTH,
    PASSES_AN_HOUR,
    PASSES_TO_BE_SURE,
    POLLS_A_MONTH,
    READS_OF_AN_IDLE_REVISIT,
    REVISITS_A_MONTH,
    SECONDS_OF_A_PLACE,
    SECONDS_OF_AN_IDLE_RUN,
    TRANSITIONS_A_PLACE,
    UNITS_OF_AN_ACCOUNT,
    WATCHES,
    WRITE_UNIT,
)
from tests.bench.cost.prices import PRICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.cost.prices import Usage


def by_queue(metered: Mapping[str, Any], work: str, findings: float, *, batch: int) -> Usage:
    """So many findings of one kind through the queue, in batches."""
    polls = findings / min(batch, 10)
    return together(
        _scaled(metered, work, findings),
        {"invocations": findings / batch, "traces": findings / batch, "queue_requests": findings + 2 * polls},
    )


def enforcing(metered: Mapping[str, Any], findings: float, *, batch: int) -> Usage:
    """So many findings that are answered by a change, for which EC2 makes the function wait."""
    waiting: Usage = {"gb_seconds": findings / CHANGES_A_SECOND * MEMORY_GB}
    return together(by_queue(metered, "alone" if batch == 1 else "enforced", findings, batch=batch), waiting)


def watching(metered: Mapping[str, Any], instances: float) -> Usage:
    """Both watches of so many instances that were enforced and turn out healthy."""
    passes = WATCHES * (Policy().watch_hours * PASSES_AN_HOUR + PASSES_TO_BE_SURE)
    return together(
        _scaled(metered, "watched", instances * passes),
        _scaled(metered, "verified", instances * WATCHES),
        {"metrics": instances * WATCHES * PASSES_TO_BE_SURE},
    )


def recalling(places: int) -> Usage:
    """What names those that break after the watch: a request an hour for each account and Region, however many they are."""
    return {"listings": places * Policy().lookback_days * 24}


def sweeping(metered: Mapping[str, Any], instances: float, places: int) -> Usage:
    """One sweep that finds so many instances with IMDSv1 allowed, none of which it may change."""
    return together(
        _scaled(metered, "swept", instances),
        _scaled(metered, "empty", places),
        {"invocations": places, "traces": places, "transitions": places * TRANSITIONS_A_PLACE},
    )


def waiting(metered: Mapping[str, Any], instances: float, *, accounts: int = 1, regions: int = 1) -> Usage:
    """A month in which so many verified instances do not start anew: each pass of the guard looks whether they have."""
    return together(
        _scaled(metered, "dormant", instances * PASSES_A_MONTH),
        {unit: number * accounts * PASSES_A_MONTH for unit, number in UNITS_OF_AN_ACCOUNT.items()},
        {"gb_seconds": accounts * regions * PASSES_A_MONTH * SECONDS_OF_A_PLACE * MEMORY_GB},
    )


def standing(metered: Mapping[str, Any], instances: int) -> Usage:
    """What a month costs in which nothing happens, and nothing was ever enforced."""
    runs = REVISITS_A_MONTH + PASSES_A_MONTH
    return {
        "keys": 1,
        "dashboards": 1,
        "alarms": metered["alarms"],
        "custom_metrics": CUSTOM_METRICS,
        "queue_requests": POLLS_A_MONTH,
        "schedules": runs,
        "invocations": runs,
        "traces": runs,
        "gb_seconds": runs * SECONDS_OF_AN_IDLE_RUN * MEMORY_GB,
        "items_read": REVISITS_A_MONTH * READS_OF_AN_IDLE_REVISIT,
        "key_requests": KEY_REQUESTS_A_MONTH,
        "stored_bytes": instances * metered["bytes"]["instance"],
    }


def first_answers(metered: Mapping[str, Any], instances: int) -> Usage:
    """Every instance has its finding answered for the first time: most are enforced and watched, the others held. Each note comes
    back once, and that of the enforced once more when they are verified."""
    held, (accounts, regions) = instances * HELD_SHARE, ORGANISATIONS[instances]
    return together(
        watching(metered, instances - held),
        recalling(accounts * regions),
        by_queue(metered, "echo", instances - held, batch=BATCH),
        enforcing(metered, instances - held, batch=BATCH),
        by_queue(metered, "held", held, batch=BATCH),
        by_queue(metered, "echo", instances, batch=BATCH),
    )


def month(metered: Mapping[str, Any], instances: int) -> Usage:
    """A month in which the held stay held: their findings come again one by one, they are revisited and swept every day. The
    enforced do not start anew."""
    accounts, regions = ORGANISATIONS[instances]
    held = instances * HELD_SHARE
    return together(
        by_queue(metered, "again", held * FINDINGS_A_MONTH, batch=1),
        *[sweeping(metered, held, accounts * regions), _scaled(metered, "swept", held)] * DAYS,
        waiting(metered, instances - held, accounts=accounts, regions=regions),
        standing(metered, instances),
    )


def together(*usages: Usage) -> Usage:
    together: Usage = {}
    for usage in usages:
        for unit, number in usage.items():
            together[unit] = together.get(unit, 0) + number
    return together


def _scaled(metered: Mapping[str, Any], work: str, instances: float) -> Usage:
    """The billed units of a kind of work, for so many instances."""
    used = metered["work"][work]
    # A transaction costs double, and an update is as dear as the item is large.
    updates = used["items_updated"] * 2 * math.ceil(metered["bytes"]["current"] / WRITE_UNIT)
    counted = {unit: number for unit, number in used.items() if unit in PRICES}
    usage = together(counted, {"write_units": updates, "gb_seconds": used["seconds"] * MEMORY_GB})
    return {unit: number * instances / used["instances"] for unit, number in usage.items()}
