"""What the service costs: `python -m tests.bench.cost` meters it on the local AWS and writes docs/cost.md.

Units are counted where the functions' code makes its calls; prices are AWS's list prices. What was metered is kept beside this module,
so that a test can see that the page says what follows from it.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.asset import assemble
from local.cloud import HOME, MEMBERS, REGIONS, LocalCloud
from tests.bench import fleet
from tests.e2e.world import World
from tests.fixtures import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.bench.fleet import Fleet

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cost.md"
METERED = Path(__file__).with_name("metered.json")
METER = Path(__file__).with_name("meter.py")

LATENCY_MS = 40
BATCH = 500
SWEPT = 1_000
IDLE, USED = fleet.KINDS[:2]
LATER = "2026-11-21T06:00:00.000Z"

MEMORY_GB = 1.0
WRITE_UNIT = 1024
CHANGES_A_SECOND = 5
"""EC2's quota for changes in an account and Region: a function that makes many waits for it, and is paid for it."""
TRANSITIONS_A_PLACE = 5
POLLS_A_MONTH = 5 * 3 * 60 * 730
"""Lambda keeps five long polls of twenty seconds on an empty queue."""
REVISITS_A_MONTH = 12 * 730
SECONDS_OF_AN_IDLE_REVISIT = 0.5
READS_OF_AN_IDLE_REVISIT = 8
KEY_REQUESTS_A_MONTH = 3 * 12 * 730
"""SQS, SNS and DynamoDB each keep a data key for five minutes."""
CUSTOM_METRICS = 5

HELD_SHARE = 0.2
FINDINGS_A_MONTH = 40
"""Security Hub sends a failing finding anew about every 18 hours."""
DAYS = 30
ORGANISATIONS = {1_000: (10, 2), 10_000: (50, 4), 100_000: (500, 17)}
"""Instances: accounts and Regions."""

Usage = dict[str, float]
"""How many of each unit in `PRICES`."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD for so many of a unit."""

    usd: float
    per: float
    unit: str
    source: str

    @property
    def each(self) -> float:
        return self.usd / self.per


PRICED_ON = "2026-11-22"
PRICES = {
    "gb_seconds": Price(usd=0.0000133334, per=1, unit="GB-second of Lambda, arm64", source="lambda"),
    "invocations": Price(usd=0.20, per=1e6, unit="Lambda requests", source="lambda"),
    "queue_requests": Price(usd=0.40, per=1e6, unit="SQS requests", source="sqs"),
    "write_units": Price(usd=0.625, per=1e6, unit="DynamoDB write units, on demand", source="dynamodb"),
    "items_read": Price(usd=0.125, per=1e6, unit="DynamoDB read units, on demand", source="dynamodb"),
    "metrics": Price(usd=0.01, per=1e3, unit="metrics asked for by GetMetricData", source="cloudwatch"),
    "log_bytes": Price(usd=0.50, per=1e9, unit="bytes of logs taken in", source="cloudwatch"),
    "publishes": Price(usd=0.50, per=1e6, unit="SNS publishes", source="sns"),
    "key_requests": Price(usd=0.03, per=1e4, unit="KMS requests", source="kms"),
    "traces": Price(usd=5.0, per=1e6, unit="traces of X-Ray", source="xray"),
    "transitions": Price(usd=25.0, per=1e6, unit="Step Functions transitions", source="step-functions"),
    "schedules": Price(usd=1.0, per=1e6, unit="Scheduler invocations", source="eventbridge"),
    "keys": Price(usd=1.0, per=1, unit="KMS key a month", source="kms"),
    "alarms": Price(usd=0.10, per=1, unit="alarm a month", source="cloudwatch"),
    "custom_metrics": Price(usd=0.30, per=1, unit="custom metric a month", source="cloudwatch"),
    "dashboards": Price(usd=3.0, per=1, unit="dashboard a month", source="cloudwatch"),
    "stored_bytes": Price(usd=0.45, per=1e9, unit="bytes in DynamoDB with their backup, a month", source="dynamodb"),
}
"""List prices, us-east-1, without the free tier."""

PUBLISHED = {300: 3.33, 3_000: 26.83, 30_000: 261.90}
"""Automated Security Response on AWS: remediations a month and USD, from the cost page of its implementation guide."""
PUBLISHED_AT = "https://docs.aws.amazon.com/solutions/latest/automated-security-response-on-aws/cost.html"
QUOTED_AT = (
    "https://aws-gcr-wwso-security.gitbook.io/an-quan-zui-jia-shi-jian/an-quan-chan-pin-cheng-ben-gu-suan/"
    "an-quan-he-gui-chi-xu-jian-ce-he-zi-dong-xiu-fu-fei-yong"
)


def usd(usage: Mapping[str, float]) -> float:
    """What units cost."""
    return sum(number * PRICES[unit].each for unit, number in usage.items())


# --- Metering ------------------------------------------------------------------------------------------------------


def measure() -> dict[str, Any]:
    """Meter each kind of work: what of it AWS bills, and for how many instances."""
    with LocalCloud() as cloud:
        cloud.deploy()
        world = World(cloud)
        world.set_policy({"mode": "enforce"})
        world.set_queue_listening(enabled=False)
        idle, used, one_idle, one_used = (
            fleet.launch(cloud, account=MEMBERS[0], region=HOME, size=size, kinds=[kind])
            for kind, size in ((IDLE, BATCH), (USED, BATCH), (IDLE, 1), (USED, 1))
        )
        fleet.launch(cloud, account=MEMBERS[1], region=HOME, size=SWEPT, kinds=[USED])
        place = {"account": MEMBERS[1], "region": HOME}
        cloud.faults([{"latency_ms": LATENCY_MS}])
        with _meter(cloud) as do:
            do(_findings(cloud, one_used))
            metered = {
                "enforced": _units(do(_findings(cloud, idle)), BATCH),
                "alone": _units(do(_findings(cloud, one_idle)), 1),
                "held": _units(do(_findings(cloud, used)), BATCH),
                "echo": _units(do(_findings(cloud, used)), BATCH),
                "again": _units(do(_findings(cloud, one_used, UpdatedAt=LATER)), 1),
            }
            do(place)
            metered["swept"] = _units(do(place), SWEPT)
            metered["empty"] = _units(do({**place, "region": REGIONS[1]}), 1)
        cloud.faults()
        sizes = _sizes(cloud)
        alarms = cloud.session().client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {"work": metered, "bytes": sizes, "alarms": len(alarms)}


@contextmanager
def _meter(cloud: LocalCloud) -> Iterator[Callable[[Mapping[str, Any]], dict[str, Any]]]:
    environment = fleet.function_environment(cloud, "remediate")
    with tempfile.TemporaryDirectory() as asset:
        assemble(Path(asset))
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
    return {"instances": instances, "seconds": used["seconds"], "items_updated": used.get("items_updated", 0), **priced}


def _sizes(cloud: LocalCloud) -> dict[str, float]:
    """Mean sizes in the ledger: an instance's current item, and all its items together."""
    scan = cloud.session().client("dynamodb").get_paginator("scan")
    current: list[int] = []
    total = 0
    for page in scan.paginate(TableName=cloud.outputs["LedgerTableName"]):
        for item in page["Items"]:
            size = len(json.dumps(item))
            total += size
            if item["sk"]["S"] == "current" and item["pk"]["S"] != "policy":
                current.append(size)
    return {"current": round(sum(current) / len(current)), "instance": round(total / len(current))}


# --- Reckoning -----------------------------------------------------------------------------------------------------


def by_queue(metered: Mapping[str, Any], work: str, findings: float, *, batch: int) -> Usage:
    """So many findings of one kind through the queue, in batches."""
    polls = findings / min(batch, 10)
    return _together(
        _scaled(metered, work, findings),
        {"invocations": findings / batch, "traces": findings / batch, "queue_requests": findings + 2 * polls},
    )


def enforcing(metered: Mapping[str, Any], findings: float, *, batch: int) -> Usage:
    """So many findings that are answered by a change, for which EC2 makes the function wait."""
    waiting: Usage = {"gb_seconds": findings / CHANGES_A_SECOND * MEMORY_GB}
    return _together(by_queue(metered, "alone" if batch == 1 else "enforced", findings, batch=batch), waiting)


def sweeping(metered: Mapping[str, Any], instances: float, places: int) -> Usage:
    """One sweep that finds so many instances with IMDSv1 allowed, none of which it may change."""
    return _together(
        _scaled(metered, "swept", instances),
        _scaled(metered, "empty", places),
        {"invocations": places, "traces": places, "transitions": places * TRANSITIONS_A_PLACE},
    )


def standing(metered: Mapping[str, Any], instances: int) -> Usage:
    """What a month costs in which nothing happens."""
    return {
        "keys": 1,
        "dashboards": 1,
        "alarms": metered["alarms"],
        "custom_metrics": CUSTOM_METRICS,
        "queue_requests": POLLS_A_MONTH,
        "schedules": REVISITS_A_MONTH,
        "invocations": REVISITS_A_MONTH,
        "traces": REVISITS_A_MONTH,
        "gb_seconds": REVISITS_A_MONTH * SECONDS_OF_AN_IDLE_REVISIT * MEMORY_GB,
        "items_read": REVISITS_A_MONTH * READS_OF_AN_IDLE_REVISIT,
        "key_requests": KEY_REQUESTS_A_MONTH,
        "stored_bytes": instances * metered["bytes"]["instance"],
    }


def first_answers(metered: Mapping[str, Any], instances: int) -> Usage:
    """Every instance has its finding answered for the first time: most are enforced, the others held. Each note comes back once."""
    held = instances * HELD_SHARE
    return _together(
        enforcing(metered, instances - held, batch=BATCH),
        by_queue(metered, "held", held, batch=BATCH),
        by_queue(metered, "echo", instances, batch=BATCH),
    )


def month(metered: Mapping[str, Any], instances: int) -> Usage:
    """A month in which the held stay held: their findings come again one by one, they are revisited and swept every day."""
    accounts, regions = ORGANISATIONS[instances]
    held = instances * HELD_SHARE
    return _together(
        by_queue(metered, "again", held * FINDINGS_A_MONTH, batch=1),
        *[sweeping(metered, held, accounts * regions), _scaled(metered, "swept", held)] * DAYS,
        standing(metered, instances),
    )


def _together(*usages: Usage) -> Usage:
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
    usage = _together(counted, {"write_units": updates, "gb_seconds": used["seconds"] * MEMORY_GB})
    return {unit: number * instances / used["instances"] for unit, number in usage.items()}


# --- The page ------------------------------------------------------------------------------------------------------


def page(metered: Mapping[str, Any]) -> str:
    """docs/cost.md."""
    return TEXT.format(
        latency=LATENCY_MS,
        answers=_table(
            ("1,000 findings that are", "in batches of 500", "one by one"),
            [
                ("enforced", *(_money(usd(enforcing(metered, 1000, batch=batch))) for batch in (BATCH, 1))),
                ("held, the first time", _money(usd(by_queue(metered, "held", 1000, batch=BATCH))), ""),
                ("held, again", "", _money(usd(by_queue(metered, "again", 1000, batch=1)))),
                ("our own note coming back", _money(usd(by_queue(metered, "echo", 1000, batch=BATCH))), ""),
            ],
        ),
        parts=_parts(enforcing(metered, 1000, batch=BATCH), enforcing(metered, 1000, batch=1)),
        months=_table(
            ("instances", "accounts x Regions", "once, for all first answers", "every month after", "of it standing"),
            [
                (
                    f"{instances:,}",
                    f"{accounts} x {regions}",
                    _money(usd(first_answers(metered, instances))),
                    _money(usd(month(metered, instances))),
                    _money(usd(standing(metered, instances))),
                )
                for instances, (accounts, regions) in ORGANISATIONS.items()
            ],
        ),
        held=f"{HELD_SHARE:.0%}",
        findings=FINDINGS_A_MONTH,
        published=_table(
            (
                "remediations a month",
                "AWS's figure, USD",
                "a 1,000",
                "this service, one by one, the standing cost included",
            ),
            [
                (
                    f"{number:,}",
                    _money(figure),
                    _money(figure / number * 1000),
                    _money(usd(_together(enforcing(metered, number, batch=1), standing(metered, number)))),
                )
                for number, figure in PUBLISHED.items()
            ],
        ),
        published_at=PUBLISHED_AT,
        quoted_at=QUOTED_AT,
        prices=_table(
            ("USD", "for", "list price at"),
            [
                (f"{price.usd:g}", f"{price.per:,.0f} {price.unit}", f"https://aws.amazon.com/{price.source}/pricing/")
                for price in PRICES.values()
            ],
        ),
        priced_on=PRICED_ON,
    )


def _parts(together: Usage, alone: Usage) -> str:
    rows = [
        (
            PRICES[unit].unit,
            f"{together.get(unit, 0):,.0f}",
            _money(together.get(unit, 0) * PRICES[unit].each),
            f"{alone.get(unit, 0):,.0f}",
            _money(alone.get(unit, 0) * PRICES[unit].each),
        )
        for unit in PRICES
        if unit in alone
    ]
    return _table(("for 1,000 enforced", "in batches", "USD", "one by one", "USD"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


TEXT = """# What it costs

Written by `python -m tests.bench.cost`, which runs the functions' own code on the local AWS, counts what AWS would bill where the
calls are made, and multiplies. USD, us-east-1, list prices, no free tier. What AWS Security Hub and AWS Config cost
is not in it: you pay for them with or without this service. EC2's, STS's, Security Hub's and SSM's calls cost nothing.

## A thousand findings

{answers}

Of what:

{parts}

Function time is what the code took on the local AWS with {latency} ms added to every call, plus a fifth of a second for each change,
because EC2 lets five a second through and a waiting function is paid for. On AWS it is the least certain figure here.

## An organisation

{months}

Once: every instance has its finding answered for the first time, {held} of them by a hold. Every month after: the held ones are
still held, each of their findings comes again {findings} times a month and by itself, and each is revisited and swept daily in all accounts
and Regions, also in those where there is nothing. Instances that have been enforced cost nothing but their place in the ledger.

Not in it: what SNS takes for delivering a message (2 USD for 100,000 e-mails), the events of AWS Config that members forward (1 USD a million),
and the few files that a sweep keeps in S3. X-Ray is reckoned as if it kept every trace; it keeps one a second and 5% of the rest.

## Beside Automated Security Response on AWS

AWS publishes what its own solution costs by the number of remediations ([cost page]({published_at}); the page itself could not be
read while this was written, the figures are as [quoted from it]({quoted_at}), for us-east-2). It remediates many controls, this service one; it does
not look at usage before it acts, which is what `GetMetricData` is paid for here.

{published}

## Prices used

Put down by hand on {priced_on}; AWS's price pages show them in a browser only. Change them in `tests/bench/cost.py`.

{prices}
"""


def main() -> None:
    """Meter, and write what was metered and the page."""
    metered = measure()
    METERED.write_text(json.dumps(metered, indent=2) + "\n")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(metered))
    sys.stderr.write(f"written to {PAGE}\n")


if __name__ == "__main__":
    main()
