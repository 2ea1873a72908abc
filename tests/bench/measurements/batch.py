"""What 300 findings of one account and Region cost, all of them enforced, in AWS calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local.cloud.run import MEMBERS, SECURITY
from tests.bench.measurement import Measurement, against
from tests.bench.measurements.counting import LOOKED_AT, floor
from tests.fixtures import events

if TYPE_CHECKING:
    from tests.e2e.world import World

INSTANCES = 300
LOOKBACK_DAYS = 35
OF_THE_BATCH = {"dynamodb", "ssm", "sts", "securityhub", "sns", "sqs", "kms"}


def of_300(world: World) -> list[Measurement]:
    """Count the calls of one function invocation that answers 300 Security Hub findings."""
    fleet = world.launch(number=INSTANCES)
    findings = [events.finding(one.arn, finding_id=f"{one.arn}/finding") for one in fleet]
    world.set_queue_listening(enabled=False)
    hub: Any = world.home.client("securityhub")
    for start in range(0, INSTANCES, 100):
        hub.batch_import_findings(Findings=findings[start : start + 100])
    world.cloud.calls(reset=True)
    answer = world.remediate(*(json.dumps(events.imported(finding)) for finding in findings))
    calls = world.cloud.calls()
    world.empty_queue()
    world.set_queue_listening(enabled=True)
    statuses = [world.current(one)["status"] for one in fleet]
    if answer["batchItemFailures"] or statuses != ["enforced"] * INSTANCES:
        raise RuntimeError(f"not all were enforced: {set(statuses)}, {answer}")
    looked_at = sum(each["calls"] for each in calls if each["account"] == MEMBERS[0] and each["service"] in LOOKED_AT)
    others = [each for each in calls if each["account"] == SECURITY and each["service"] in OF_THE_BATCH]
    spread = ", ".join(f"{each['calls']} {each['action']}" for each in others)
    return [
        against(
            "batch300.calls",
            looked_at,
            "calls",
            floor(instances=INSTANCES, lookback_days=LOOKBACK_DAYS),
            "the fewest that can do it",
        ),
        Measurement(
            name="batch300.other",
            value=sum(each["calls"] for each in others) / INSTANCES,
            unit="calls a finding",
            spread=f"({spread})",
        ),
    ]
