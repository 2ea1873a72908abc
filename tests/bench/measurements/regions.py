"""The whole job on one account and Region: beside Cloud Custodian, and as the fleet grows.

Both sides work on the same instances of the same local AWS, every call 40 ms late, one after the other. Custodian goes first; what it
changed is put back before the service has its turn. Neither is throttled: on AWS the changes of both would wait for EC2's quota.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.cloud.run import HOME, MEMBERS, REGIONS, SECURITY
from tests.bench.measurement import Measurement, against
from tests.bench.measurements import custodian, fleet
from tests.bench.measurements.counting import LOOKED_AT, floor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.cloud.run import LocalCloud
    from tests.bench.measurements.fleet import Fleet

REPORT = Path(__file__).resolve().parents[3] / "build" / "bench" / "custodian.json"
ABROAD = REGIONS[1]
LATENCY_MS = 40
LOOKBACK_DAYS = 35
SIDE_BY_SIDE = (300, 3_000)
LARGE = 10_000
ONE_PAGE, TWENTY_PAGES = 1_000, 20_000
HANDS = 8


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both sides at the same job."""

    job: str
    service: fleet.Done
    custodian: custodian.Done


def beside_custodian(cloud: LocalCloud) -> list[Measurement]:
    """`fleet.<N>.assess`, `fleet.<N>.total` and the service's `fleet.<N>.calls`, at 300 and 3,000 instances."""
    measured: list[Measurement] = []
    reports = []
    for size, account in zip(SIDE_BY_SIDE, MEMBERS, strict=True):
        launched = fleet.launch(cloud, account=account, region=HOME, size=size)
        pairs = [_pair(cloud, launched, job) for job in ("assess", "total")]
        for pair in pairs:
            _refuse_surprises(launched, pair)
            name, theirs = f"fleet.{size}.{pair.job}", pair.custodian.seconds
            measured.append(against(name, pair.service.seconds, "s", theirs, "Cloud Custodian"))
        measured.append(_calls(launched, pairs[1].service))
        reports.append(_report(launched, pairs))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(reports, indent=2) + "\n")
    _tell(reports[-1])
    return measured


def large(cloud: LocalCloud) -> Measurement:
    """`fleet.10000.calls`."""
    launched = fleet.launch(cloud, account=MEMBERS[0], region=ABROAD, size=LARGE)
    with _late(cloud):
        return _calls(launched, fleet.sweep(cloud, launched, dry_run=False))


def memory(cloud: LocalCloud) -> Measurement:
    """`fleet.memory`: the largest resident set of the whole job, for one page of instances and for twenty."""
    one, twenty = (
        fleet.sweep(cloud, fleet.launch(cloud, account=account, region=ABROAD, size=size), dry_run=False)
        for account, size in ((MEMBERS[1], ONE_PAGE), (SECURITY, TWENTY_PAGES))
    )
    took = f"({one.seconds:.0f} s for {ONE_PAGE:,}, {twenty.seconds:.0f} s for {TWENTY_PAGES:,})"
    return against("fleet.memory", twenty.peak_mib, "MiB", one.peak_mib, f"at {ONE_PAGE:,} instances", took)


def _pair(cloud: LocalCloud, launched: Fleet, job: str) -> Pair:
    dry_run = job == "assess"
    with _late(cloud):
        theirs = custodian.run(cloud, launched, lookback_days=LOOKBACK_DAYS, dry_run=dry_run)
    if not dry_run:
        _put_back(cloud, launched)
    with _late(cloud):
        ours = fleet.sweep(cloud, launched, dry_run=dry_run)
    return Pair(job=job, service=ours, custodian=theirs)


@contextmanager
def _late(cloud: LocalCloud) -> Iterator[None]:
    cloud.faults([{"latency_ms": LATENCY_MS}])
    yield
    cloud.faults()


def _put_back(cloud: LocalCloud, launched: Fleet) -> None:
    """Allow IMDSv1 again wherever it was allowed."""
    ec2 = cloud.session(account=launched.account, region=launched.region).client("ec2")

    def allow(instance_id: str) -> None:
        ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional")

    with ThreadPoolExecutor(HANDS) as pool:
        list(pool.map(allow, launched.kinds))


def _refuse_surprises(launched: Fleet, pair: Pair) -> None:
    """A benchmark of wrong verdicts would be worth nothing: each side must have come to what the kind of the instance says."""
    ours = {instance: reason for instance, (reason, _) in pair.service.verdicts.items()}
    if ours != {instance: kind.reason for instance, kind in launched.kinds.items()}:
        raise RuntimeError(f"the service's verdicts: {Counter(ours.values())}")
    if pair.custodian.chosen != {instance for instance, kind in launched.kinds.items() if kind.custodian}:
        chosen = Counter(launched.kinds[instance].name for instance in pair.custodian.chosen)
        raise RuntimeError(f"Custodian chose {chosen}")
    failed = {instance for instance, (_, status) in pair.service.verdicts.items() if status == "failed"}
    if failed:
        raise RuntimeError(f"the service failed on {sorted(failed)[:5]} and {len(failed)} in all")


def _calls(launched: Fleet, done: fleet.Done) -> Measurement:
    made = sum(number for (service, _), number in done.calls.items() if service in LOOKED_AT)
    least = floor(instances=launched.size, lookback_days=LOOKBACK_DAYS, changed=launched.to_change)
    pace = f"({done.seconds / launched.size * 1000:.1f} ms an instance, {done.seconds:.0f} s in all)"
    return against(f"fleet.{launched.size}.calls", made, "calls", least, "the fewest that can do it", pace)


def _report(launched: Fleet, pairs: list[Pair]) -> dict[str, Any]:
    kinds = Counter(launched.kinds.values())
    return {
        "instances": launched.size,
        "latency_ms": LATENCY_MS,
        "jobs": {
            pair.job: {
                side: {"seconds": round(done.seconds, 2), "calls": _named(done.calls)}
                for side, done in (("service", pair.service), ("custodian", pair.custodian))
            }
            for pair in pairs
        },
        "same_verdict": sum(number for kind, number in kinds.items() if not kind.ruling),
        "differing": [
            {
                "kind": kind.name,
                "instances": number,
                "service": f"hold {kind.reason}",
                "custodian": "changes" if kind.custodian else "leaves",
                "who_is_right": kind.ruling,
            }
            for kind, number in kinds.items()
            if kind.ruling
        ],
    }


def _named(calls: Mapping[tuple[str, str], int]) -> dict[str, int]:
    return {f"{service}:{action}": number for (service, action), number in sorted(calls.items())}


def _tell(report: Mapping[str, Any]) -> None:
    """Say where the two differ, and who is right."""
    lines = [f"Same verdict on {report['same_verdict']:,} of {report['instances']:,} instances; where they differ:"]
    lines += [
        f"  {each['instances']:>4} {each['kind']:6} {each['service']} / Custodian {each['custodian']}. {each['who_is_right']}"
        for each in report["differing"]
    ]
    sys.stderr.write("\n".join([*lines, f"written to {REPORT}", ""]))
