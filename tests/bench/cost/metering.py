"""Meters each kind of work on the local AWS: the billable units are counted where the functions' code makes its calls."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Policy
from imdsv2.ledger.indexes import ENFORCED_INDEX
from imdsv2.ledger.items import to_text
from imdsv2.ledger.record_values import OPEN
from infra.asset import assemble
from local.cloud.run import HOME, MEMBERS, REGIONS, LocalCloud
from tests.bench.cost.assumptions import BATCH, LATENCY_MS
from tests.bench.cost.counted import observe, watch
from tests.bench.cost.counted import per as counted_for
from tests.bench.cost.item_size import INDEXED_BYTES, item_bytes
from tests.bench.cost.prices import PRICES
from tests.bench.measurements import fleet
from tests.e2e.world import World
from tests.fixtures import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.bench.measurements.fleet import Fleet

METER = Path(__file__).parents[1] / "measurements" / "meter.py"
SWEPT = 1_000
LONG_AGO = 100
"""Hours after which nothing of a watch is looked at again for what may have come late."""
IDLE, USED = fleet.KINDS[:2]
LATER = "2026-11-21T06:00:00.000Z"


def measure() -> dict[str, Any]:
    """Meter each kind of work: what of it AWS bills, and for how many instances."""
    with LocalCloud() as cloud:
        cloud.deploy()
        world = World(cloud)
        world.set_policy({"mode": "enforce"})
        world.set_queue_listening(enabled=False)
        world.stop_schedules()
        idle, used, one_idle, one_used = (
            fleet.launch(cloud, account=MEMBERS[0], region=HOME, size=size, kinds=[kind])
            for kind, size in ((IDLE, BATCH), (USED, BATCH), (IDLE, 1), (USED, 1))
        )
        fleet.launch(cloud, account=MEMBERS[1], region=HOME, size=SWEPT, kinds=[USED])
        place = {"account": MEMBERS[1], "region": HOME}
        cloud.faults([{"latency_ms": LATENCY_MS}])
        with _meter(cloud, "remediate") as do:
            do(_findings(cloud, one_used))
            metered = {
                "enforced": _units(do(_findings(cloud, idle)), BATCH),
                "alone": _units(do(_findings(cloud, one_idle)), 1),
                "held": _units(do(_findings(cloud, used)), BATCH),
                "echo": _units(do(_findings(cloud, used)), BATCH),
                "again": _units(do(_findings(cloud, one_used, UpdatedAt=LATER)), 1),
            }
            [new] = fleet.launch(cloud, account=MEMBERS[0], region=HOME, size=1, kinds=[IDLE]).kinds
            start = {"records": [json.dumps(events.started(new, account=MEMBERS[0], region=HOME))]}
            do(start)
            metered["started"] = _units(do(start), 1)
            do(place)
            metered["swept"] = _units(do(place), SWEPT)
            metered["empty"] = _units(do({**place, "region": REGIONS[1]}), 1)
        with _meter(cloud, "guard") as do:
            metered |= _passes(world, do)
        cloud.faults()
        sizes = _sizes(cloud)
        alarms = cloud.session().client("cloudwatch").describe_alarms()["MetricAlarms"]
    counted = {"watch": counted_for(watch), "observe": counted_for(observe)}
    return {"work": metered, "bytes": sizes, "alarms": sum(map(_metrics_of, alarms)), "counted": counted}


def _metrics_of(alarm: Mapping[str, Any]) -> int:
    """The metrics that an alarm looks at: each is billed, and an expression over them is not."""
    return sum("MetricStat" in each for each in alarm.get("Metrics", [])) or 1


def _passes(world: World, do: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Passes of the guard: while the watch lasts, when it ends well, and while it waits for the next start."""
    enforced = BATCH + 1
    metered = {"watched": _units(do({"watched": enforced}), enforced)}
    for name, hours in (("verified", Policy().watch_hours + 1), ("dormant", LONG_AGO)):
        world.cloud.faults()
        _age(world.cloud, hours=hours)
        world.cloud.faults([{"latency_ms": LATENCY_MS}])
        world._forget_of_accounts("guarded_at")
        metered[name] = _units(do({"watched": enforced}), enforced)
    return metered


def _age(cloud: LocalCloud, *, hours: int) -> None:
    """Let all enforcements have been so many hours ago."""
    dynamodb, table = cloud.session().client("dynamodb"), cloud.outputs["LedgerTableName"]
    then = to_text(datetime.now(UTC) - timedelta(hours=hours))
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, IndexName=ENFORCED_INDEX):
        for item in page["Items"]:
            dynamodb.update_item(
                TableName=table,
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET enforced_at = :then, enforced_key = :key",
                ExpressionAttributeValues={":then": {"S": then}, ":key": {"S": f"{OPEN}#{then}"}},
            )


@contextmanager
def _meter(cloud: LocalCloud, function: str) -> Iterator[Callable[[Mapping[str, Any]], dict[str, Any]]]:
    """A process that does jobs with the rights of a function."""
    environment = fleet.function_environment(cloud, "remediate") | fleet.function_environment(cloud, function)
    with tempfile.TemporaryDirectory() as asset:
        assemble(Path(asset), sys.executable)
        command = [sys.executable, "-I", "-S", str(METER), asset]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None

            def do(job: Mapping[str, Any]) -> dict[str, Any]:
                stdin.write(json.dumps(job) + "\n")
                stdin.flush()
                answer: dict[str, Any] = json.loads(stdout.readline())
                return answer

            yield do
            stdin.close()


def _findings(cloud: LocalCloud, launched: Fleet, **fields: str) -> dict[str, Any]:
    """Findings about a fleet, known to Security Hub, as the messages of one batch."""
    arns = [f"arn:aws:ec2:{launched.region}:{launched.account}:instance/{each}" for each in launched.kinds]
    findings = [events.finding(arn, finding_id=f"{arn}/finding", **fields) for arn in arns]
    hub: Any = cloud.session().client("securityhub")
    for start in range(0, len(findings), 100):
        hub.batch_import_findings(Findings=findings[start : start + 100])
    return {"records": [json.dumps(events.imported(each)) for each in findings]}


def _units(used: Mapping[str, Any], instances: int) -> dict[str, float]:
    """What a job used, with the number of its instances; free calls are left out."""
    priced = {unit: used[unit] for unit in PRICES if unit in used}
    counted = {unit: used.get(unit, 0) for unit in ("items_updated", "ledger_events")}
    return {"instances": instances, "seconds": used["seconds"], **counted, **priced}


def _sizes(cloud: LocalCloud) -> dict[str, float]:
    """Mean sizes in the ledger: an instance's current item, and what is billed for the storage of all its items together."""
    scan = cloud.session().client("dynamodb").get_paginator("scan")
    current: list[int] = []
    total = 0
    for page in scan.paginate(TableName=cloud.outputs["LedgerTableName"]):
        for item in page["Items"]:
            size = item_bytes(item)
            total += size + INDEXED_BYTES
            if item["sk"]["S"] == "current" and item["pk"]["S"] != "policy":
                current.append(size)
    return {"current": round(sum(current) / len(current)), "instance": round(total / len(current))}
