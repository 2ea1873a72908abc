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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imdsv2.domain.policy import Policy
from imdsv2.ledger.items import to_text
from imdsv2.ledger.table import ENFORCED_INDEX, OPEN
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
REVISITS_A_MONTH = 60 * 730
READS_OF_AN_IDLE_REVISIT = 8
PASSES_AN_HOUR = 12
PASSES_A_MONTH = PASSES_AN_HOUR * 730
"""Of the guard."""
SECONDS_OF_AN_IDLE_RUN = 0.5
SECONDS_OF_A_PLACE = 0.1 / 8
"""An account and Region in which instances wait for their next start: one look, eight accounts at a time."""
UNITS_OF_AN_ACCOUNT = {"write_units": 1, "items_read": 1}
"""A pass of the guard claims each account in which anything was enforced, and asks the index for it."""
KEY_REQUESTS_A_MONTH = 3 * 12 * 730
"""SQS, SNS and DynamoDB each keep a data key for five minutes."""
CUSTOM_METRICS = 10
WATCHES = 2
"""After the change, and once more after the next start."""
PASSES_TO_BE_SURE = 3
"""At the end of a watch, until CloudWatch can have shown all: these ask of each instance whether it ran, too."""

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
    "metrics": Price(usd=0.01, per=1e3, unit="metrics requested by GetMetricData", source="cloudwatch"),
    "listings": Price(usd=0.01, per=1e3, unit="requests of ListMetrics", source="cloudwatch"),
    "log_bytes": Price(usd=0.50, per=1e9, unit="bytes of logs ingested", source="cloudwatch"),
    "publishes": Price(usd=0.50, per=1e6, unit="SNS publishes", source="sns"),
    "key_requests": Price(usd=0.03, per=1e4, unit="KMS requests", source="kms"),
    "traces": Price(usd=5.0, per=1e6, unit="traces of X-Ray", source="xray"),
    "transitions": Price(usd=25.0, per=1e6, unit="Step Functions transitions", source="step-functions"),
    "schedules": Price(usd=1.0, per=1e6, unit="Scheduler invocations", source="eventbridge"),
    "keys": Price(usd=1.0, per=1, unit="KMS key a month", source="kms"),
    "alarms": Price(usd=0.10, per=1, unit="alarm a month", source="cloudwatch"),
    "custom_metrics": Price(usd=0.30, per=1, unit="custom metric a month", source="cloudwatch"),
    "dashboards": Price(usd=3.0, per=1, unit="dashboard a month", source="cloudwatch"),
    "stored_bytes": Price(usd=0.45, per=1e9, unit="bytes in DynamoDB including backup, a month", source="dynamodb"),
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
            do(place)
            metered["swept"] = _units(do(place), SWEPT)
            metered["empty"] = _units(do({**place, "region": REGIONS[1]}), 1)
        with _meter(cloud, "guard") as do:
            metered |= _passes(world, do)
        cloud.faults()
        sizes = _sizes(cloud)
        alarms = cloud.session().client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {"work": metered, "bytes": sizes, "alarms": len(alarms)}


def _passes(world: World, do: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Passes of the guard: while the watch lasts, when it ends well, and while it waits for the next start."""
    enforced = BATCH + 1
    metered = {"watched": _units(do({"watched": enforced}), enforced)}
    world.cloud.faults()
    _age(world.cloud, hours=Policy().watch_hours + 1)
    world.cloud.faults([{"latency_ms": LATENCY_MS}])
    for name in ("verified", "dormant"):
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


def watching(metered: Mapping[str, Any], instances: float) -> Usage:
    """Both watches of so many instances that were enforced and turn out healthy."""
    passes = WATCHES * (Policy().watch_hours * PASSES_AN_HOUR + PASSES_TO_BE_SURE)
    return _together(
        _scaled(metered, "watched", instances * passes),
        _scaled(metered, "verified", instances * WATCHES),
        {"metrics": instances * WATCHES * PASSES_TO_BE_SURE},
    )


def recalling(places: int) -> Usage:
    """What names those that break after the watch: a request an hour for each account and Region, however many they are."""
    return {"listings": places * Policy().lookback_days * 24}


def sweeping(metered: Mapping[str, Any], instances: float, places: int) -> Usage:
    """One sweep that finds so many instances with IMDSv1 allowed, none of which it may change."""
    return _together(
        _scaled(metered, "swept", instances),
        _scaled(metered, "empty", places),
        {"invocations": places, "traces": places, "transitions": places * TRANSITIONS_A_PLACE},
    )


def waiting(metered: Mapping[str, Any], instances: float, *, accounts: int = 1, regions: int = 1) -> Usage:
    """A month in which so many verified instances do not start anew: each pass of the guard looks whether they have."""
    return _together(
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
    return _together(
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
    return _together(
        by_queue(metered, "again", held * FINDINGS_A_MONTH, batch=1),
        *[sweeping(metered, held, accounts * regions), _scaled(metered, "swept", held)] * DAYS,
        waiting(metered, instances - held, accounts=accounts, regions=regions),
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
    watched = usd(watching(metered, 1000))
    both = usd(enforcing(metered, 1000, batch=BATCH)) + watched
    return TEXT.format(
        watched=_money(watched),
        share=f"{watched / both:.0%}",
        hours=Policy().watch_hours,
        passes=WATCHES * Policy().watch_hours * PASSES_AN_HOUR,
        of_metrics=_money(watching(metered, 1000)["metrics"] * PRICES["metrics"].each),
        recall_days=Policy().lookback_days,
        recall=_money(usd(recalling(1))),
        watched_parts=_parts("for 1,000 watched", {"units": watching(metered, 1000)}),
        latency=LATENCY_MS,
        answers=_answers(metered),
        parts=_parts(
            "for 1,000 enforced",
            {"in batches": enforcing(metered, 1000, batch=BATCH), "one by one": enforcing(metered, 1000, batch=1)},
        ),
        months=_months(metered),
        held=f"{HELD_SHARE:.0%}",
        findings=FINDINGS_A_MONTH,
        published=_published(metered),
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


def _answers(metered: Mapping[str, Any]) -> str:
    """What a thousand findings cost, by what comes of them."""
    watched = _money(usd(watching(metered, 1000)))
    return _table(
        ("1,000 findings that are", "in batches of 500", "one by one"),
        [
            ("enforced", *(_money(usd(enforcing(metered, 1000, batch=batch))) for batch in (BATCH, 1))),
            ("watched after enforcement, until verified twice", *[watched] * 2),
            ("held, the first time", _money(usd(by_queue(metered, "held", 1000, batch=BATCH))), ""),
            ("held, again", "", _money(usd(by_queue(metered, "again", 1000, batch=1)))),
            ("echo of the service's own note", _money(usd(by_queue(metered, "echo", 1000, batch=BATCH))), ""),
        ],
    )


def _months(metered: Mapping[str, Any]) -> str:
    """What organisations pay, once and every month."""
    return _table(
        (
            "instances",
            "accounts x Regions",
            "one-time: first answers, watch and recall",
            "every following month",
            "of which: waiting for the next start",
            "of which: standing cost",
        ),
        [
            (
                f"{instances:,}",
                f"{accounts} x {regions}",
                _money(usd(first_answers(metered, instances))),
                _money(usd(month(metered, instances))),
                _money(usd(waiting(metered, instances * (1 - HELD_SHARE), accounts=accounts, regions=regions))),
                _money(usd(standing(metered, instances))),
            )
            for instances, (accounts, regions) in ORGANISATIONS.items()
        ],
    )


def _published(metered: Mapping[str, Any]) -> str:
    """What AWS publishes for its own solution, beside ours."""
    return _table(
        (
            "remediations a month",
            "AWS's figure, USD",
            "per 1,000",
            "this service: one by one, watched, including the standing cost",
        ),
        [
            (
                f"{number:,}",
                _money(figure),
                _money(figure / number * 1000),
                _money(
                    usd(
                        _together(
                            enforcing(metered, number, batch=1),
                            watching(metered, number),
                            waiting(metered, number),
                            standing(metered, number),
                        )
                    )
                ),
            )
            for number, figure in PUBLISHED.items()
        ],
    )


def _parts(what: str, ways: Mapping[str, Usage]) -> str:
    head = [column for way in ways for column in (way, "USD")]
    rows = [
        (price.unit, *(cell for used in ways.values() for cell in _amount(used.get(unit, 0), price)))
        for unit, price in PRICES.items()
        if any(unit in used for used in ways.values())
    ]
    return _table((what, *head), rows)


def _amount(number: float, price: Price) -> tuple[str, str]:
    return f"{number:,.0f}", _money(number * price.each)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


TEXT = """# What it costs

This page is generated by `python -m tests.bench.cost`. The script runs the functions' own code on the local AWS, counts the billable
units where the calls are made, and multiplies by the prices. Prices are USD, us-east-1, list prices, without the free tier. The cost of
AWS Security Hub and AWS Config is excluded: you pay for them with or without this service. Calls to EC2, STS, Security Hub and SSM are free.

## A thousand findings

{answers}

These are the units behind the first row:

{parts}

Function time is what the code took on the local AWS with {latency} ms added to every call, plus 0.2 seconds for each change,
because EC2 allows five changes a second and a waiting function is billed. On AWS, function time is the least certain figure here.

## The watch

**Watching costs more than everything else: {watched} USD for 1,000 enforced instances, {share} of their cost from finding to proof.**
For {hours} hours after its change and {hours} hours after its next start, every instance is checked every five minutes for rejected
IMDSv1 calls: {passes} times in total, at CloudWatch's price per requested metric ({of_metrics} USD of the total). This is the price of detecting
breakage within minutes. It is paid once per instance, and is lower with a shorter `watch_hours`.

{watched_parts}

For {recall_days} days after the last change in an account and Region, one request an hour lists the instances there that reject calls. It costs
{recall} USD for each account and Region, however many instances it has.

## An organisation

{months}

One-time: every instance gets its first answer. {held} of the instances are held; the others are enforced, and watched both
times. Every following month: the held instances stay held. Each of their findings arrives again {findings} times a month, one at a time,
and each instance is revisited and swept daily. The sweep covers all accounts and Regions, including empty ones. The enforced instances wait for
their next start: every five minutes, the guard reads the index and describes them in EC2, a thousand per call, and requests no metric. After its
second watch, an instance costs only its storage in the ledger.

Excluded: SNS's charge for delivering messages (2 USD per 100,000 e-mails), the AWS Config events that members forward (1 USD per million),
and the few files that a sweep stores in S3. X-Ray is calculated as if it kept every trace; it keeps one a second and 5% of the rest.

## Compared with Automated Security Response on AWS

AWS publishes the cost of its own solution by number of remediations ([cost page]({published_at})). The page itself could not be
read when this was written; the figures are as [quoted from it]({quoted_at}), for us-east-2. That solution remediates many controls, this service
one. It does not check usage before it acts, or whether anything broke afterwards; that is what this service pays for with `GetMetricData`.

{published}

## Prices used

Entered by hand on {priced_on}, because AWS's price pages show prices only in a browser. Change them in `tests/bench/cost.py`.

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
