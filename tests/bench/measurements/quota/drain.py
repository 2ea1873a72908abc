"""`quota.drain`: the simulated time in which an organisation drains, beside what the quotas alone dictate."""

from __future__ import annotations

import statistics

from imdsv2.aws.pacing import QUOTAS
from tests.bench.measurement import Measurement, against
from tests.bench.measurements.quota.organisation import HOURS, Organisation
from tests.bench.measurements.quota.placement import INSTANCES

SEEDS = (1, 2, 3, 4, 5)


def measure() -> Measurement:
    """Let the organisation drain, and compare with what the quotas alone dictate."""
    organisations = [Organisation(seed) for seed in SEEDS]
    seconds = [each.drain() for each in organisations]
    for each in organisations:
        twice = [instance for instance, calls in each.aws.changed_by.items() if len(calls) != 1]
        if twice or each.aws.changed_by.keys() != each.place_of.keys():
            raise RuntimeError(f"changed twice: {len(twice)}; changed at all: {len(each.aws.changed_by)}")
    throttled = [each.aws.answers["throttled"] / each.aws.answers.total() for each in organisations]
    waited = [each.ledger.held for each in organisations]
    return against(
        "quota.drain",
        statistics.median(seconds),
        "simulated s",
        max(_dictated(len(instances)) for instances in organisations[0].fleet.values()),
        "what the quotas alone dictate",
        f"({min(seconds):.0f} .. {max(seconds):.0f} s in {len(SEEDS)} runs; {INSTANCES} instances, each changed once; "
        f"{max(throttled):.1%} of the requests throttled, {max(waited)} waits in the ledger)",
    )


def _dictated(instances: int) -> float:
    """Seconds in which AWS's quotas let the least number of calls through, for one account and Region."""
    datapoints = instances * HOURS
    needed = {"ModifyInstanceMetadataOptions": instances, "GetMetricData": datapoints}
    return max((cost - QUOTAS[operation].burst) / QUOTAS[operation].rate for operation, cost in needed.items())
