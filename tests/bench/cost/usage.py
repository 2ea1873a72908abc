"""How many billable units the work of a number of instances takes, calculated from what was metered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from imdsv2.domain.verdict import Reason
from imdsv2.telemetry import ACCOUNTS_SHOWN
from tests.bench.cost.assumptions import (
    BATCH,
    BROADCAST_GB,
    CHANGES_A_SECOND,
    CUSTOM_METRICS,
    DAYS,
    FINDINGS_A_MONTH,
    GAUGES_OF_ALL,
    HELD_SHARE,
    HOURS_A_MONTH,
    KEY_REQUESTS_A_MONTH,
    LOG_BYTES_A_PLACE,
    MEMORY_GB,
    ORGANISATIONS,
    PASSES_A_MONTH,
    POLLS_A_MONTH,
    READS_OF_AN_IDLE_REVISIT,
    REVISITS_A_MONTH,
    SECONDS_OF_A_BROADCAST,
    SECONDS_OF_A_PLACE,
    SECONDS_OF_AN_IDLE_RUN,
    TRANSITIONS_A_PLACE,
    UNITS_OF_AN_ACCOUNT,
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


def starting(metered: Mapping[str, Any], starts: float) -> Usage:
    """So many starts of new instances, each forwarded from a member account to the bus, and looked at alone."""
    return together(by_queue(metered, "started", starts, batch=1), {"bus_events": starts})


def broadcasting(events: float) -> Usage:
    """So many events of the ledger, each sent to the bus by an invocation of its own."""
    seconds = events * SECONDS_OF_A_BROADCAST
    return {"bus_events": events, "invocations": events, "traces": events, "gb_seconds": seconds * BROADCAST_GB}


def watching(metered: Mapping[str, Any], instances: float, places: int = 1) -> Usage:
    """Both watches of so many instances that were enforced and turn out healthy, to their end. What is asked was counted; how long
    a pass takes was metered."""
    passes = metered["counted"]["watch"]["place"]["passes"]
    seconds = metered["work"]["watched"]["seconds"] / metered["work"]["watched"]["instances"]
    return together(
        _counted(metered, "watch", instances, places),
        {
            "gb_seconds": instances * passes * seconds * MEMORY_GB,
            "log_bytes": passes * places * metered["work"]["watched"]["log_bytes"],
        },
    )


def recalling(places: int) -> Usage:
    """What names those that break after the watch: a month of a request an hour for each account and Region, however many they are."""
    return {"listings": places * DAYS * 24}


def observing(metered: Mapping[str, Any], instances: int) -> Usage:
    """A month of `observe`, in which every instance is judged daily and nothing is changed."""
    accounts, regions = ORGANISATIONS[instances]
    places = accounts * regions
    day = together(
        _counted(metered, "observe", instances, places),
        {
            "gb_seconds": instances
            * metered["work"]["swept"]["seconds"]
            / metered["work"]["swept"]["instances"]
            * MEMORY_GB
        },
        sweeping(metered, 0, places),
    )
    return together(*[day] * DAYS, gauging(accounts), standing(metered, instances))


def gauging(accounts: int) -> Usage:
    """A month of what each night's sweep publishes: a gauge for each account, the largest ones where they are many, for each reason, and
    of all together."""
    by_account = min(accounts, ACCOUNTS_SHOWN) + (accounts > ACCOUNTS_SHOWN)
    gauges = by_account + len(Reason) + GAUGES_OF_ALL
    return {"custom_metrics": gauges * DAYS / HOURS_A_MONTH}


def sweeping(metered: Mapping[str, Any], instances: float, places: int) -> Usage:
    """One sweep that finds so many instances with IMDSv1 allowed, none of which it may change."""
    return together(
        _scaled(metered, "swept", instances),
        _scaled(metered, "empty", places),
        {
            "invocations": places,
            "traces": places,
            "transitions": places * TRANSITIONS_A_PLACE,
            "log_bytes": places * LOG_BYTES_A_PLACE,
        },
    )


def waiting(metered: Mapping[str, Any], instances: float, *, accounts: int = 1, regions: int = 1) -> Usage:
    """A month in which so many verified instances do not start anew: each pass of the guard looks whether they have."""
    passes = _scaled(metered, "dormant", instances * PASSES_A_MONTH)
    passes.pop("listings", None)  # The recall's, once an hour.
    return together(
        passes,
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
        watching(metered, instances - held, accounts * regions),
        by_queue(metered, "echo", instances - held, batch=BATCH),
        enforcing(metered, instances - held, batch=BATCH),
        by_queue(metered, "held", held, batch=BATCH),
        by_queue(metered, "echo", instances, batch=BATCH),
    )


def month(metered: Mapping[str, Any], instances: int) -> Usage:
    """A month in which the held stay held: their findings come again one by one, and they are judged every day. The enforced do not
    start anew."""
    accounts, regions = ORGANISATIONS[instances]
    held = instances * HELD_SHARE
    return together(
        by_queue(metered, "again", held * FINDINGS_A_MONTH, batch=1),
        *[sweeping(metered, held, accounts * regions)] * DAYS,
        recalling(accounts * regions),
        gauging(accounts),
        {"publishes": accounts * DAYS},  # The digest: a message a day for each owner, who by default is the account's.
        waiting(metered, instances - held, accounts=accounts, regions=regions),
        standing(metered, instances),
    )


def together(*usages: Usage) -> Usage:
    together: Usage = {}
    for usage in usages:
        for unit, number in usage.items():
            together[unit] = together.get(unit, 0) + number
    return together


def _counted(metered: Mapping[str, Any], what: str, instances: float, places: float) -> Usage:
    """The billed units of what was counted for each instance and each place."""
    counted = metered["counted"][what]
    told = sum(
        counted[of].get("ledger_events", 0) * number for of, number in (("instance", instances), ("place", places))
    )
    usage = broadcasting(told) if told else {}
    for of, number in ((counted["instance"], instances), (counted["place"], places)):
        for unit, each in of.items():
            billed = "write_units" if unit == "items_updated" else unit
            factor = _update_units(metered) if unit == "items_updated" else 1
            usage[billed] = usage.get(billed, 0) + each * factor * number
    return {unit: number for unit, number in usage.items() if unit in PRICES}


def _update_units(metered: Mapping[str, Any]) -> int:
    """A transaction costs double, and an update is as dear as the item is large."""
    size: int = metered["bytes"]["current"]
    return 2 * math.ceil(size / WRITE_UNIT)


def _scaled(metered: Mapping[str, Any], work: str, instances: float) -> Usage:
    """The billed units of a kind of work, for so many instances."""
    used = metered["work"][work]
    updates = used["items_updated"] * _update_units(metered)
    counted = {unit: number for unit, number in used.items() if unit in PRICES}
    told = broadcasting(used["ledger_events"]) if used["ledger_events"] else {}
    usage = together(counted, told, {"write_units": updates, "gb_seconds": used["seconds"] * MEMORY_GB})
    return {unit: number * instances / used["instances"] for unit, number in usage.items()}
