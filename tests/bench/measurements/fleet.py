"""A fleet of one account and Region, of any size, and the whole job done on it by the service in a process of its own.

Instances of a kind share their past to the hour. The kinds are few, and each says what has to be concluded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.asset import assemble
from local.cloud.run import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from local.cloud.run import LocalCloud

HOUR = 3600
DAY = 24
FIVE_MINUTES = 300
FINE_MEMORY = 62 * DAY
"""Hours for which CloudWatch keeps periods of five minutes."""
LAUNCHES_A_CALL = 1000
SWEEPER = Path(__file__).with_name("sweeper.py")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Instances with one past. Times are hours ago; `observed` is since when the metric has datapoints, None: it has none.

    `share` is a part of the fleet, `reason` the verdict that the contract's table gives. `custodian` says whether the policy for
    Cloud Custodian changes it; where that is not what `reason` says, `ruling` tells who is right and why.
    """

    name: str
    share: float
    reason: str
    custodian: bool
    launched: int = 40 * DAY
    observed: int | None = 40 * DAY
    used: int | None = None
    ruling: str = ""


KINDS = (
    Kind(name="idle", share=0.70, reason="unused", custodian=True),
    Kind(name="used", share=0.20, reason="v1_in_use", custodian=False, used=100),
    Kind(
        name="reformed",
        share=0.03,
        reason="unused",
        custodian=True,
        launched=60 * DAY,
        observed=60 * DAY,
        used=38 * DAY,
    ),
    Kind(name="silent", share=0.01, reason="no_evidence", custodian=False, observed=None),
    Kind(
        name="gap",
        share=0.02,
        reason="no_evidence",
        custodian=True,
        observed=5 * DAY,
        ruling="The service: it ran for 35 days and was observed for 5. A sum over the datapoints that exist takes the other 30 for zero.",
    ),
    Kind(
        name="young",
        share=0.02,
        reason="too_young",
        custodian=True,
        launched=2 * DAY,
        observed=2 * DAY,
        ruling="The service: two days show no weekly job. The sum is 0 because there was hardly time to use IMDSv1.",
    ),
    Kind(
        name="boot",
        share=0.02,
        reason="v1_at_boot",
        custodian=True,
        used=40 * DAY,
        ruling="The service: it used IMDSv1 when it last started, before the window, and would fail at the next start.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Launched instances of one account and Region, by kind."""

    account: str
    region: str
    kinds: Mapping[str, Kind]

    @property
    def size(self) -> int:
        return len(self.kinds)

    @property
    def to_change(self) -> int:
        """How many the service has to change."""
        return sum(kind.reason == "unused" for kind in self.kinds.values())


@dataclass(frozen=True, kw_only=True)
class Done:
    """What the service did on a fleet: verdicts `(reason, status)` by instance, seconds of wall clock from the process's start to
    its end, its largest resident set, and the AWS calls made meanwhile by service and action."""

    verdicts: Mapping[str, tuple[str, str]]
    seconds: float
    peak_mib: float
    calls: Mapping[tuple[str, str], int]


def launch(cloud: LocalCloud, *, account: str, region: str, size: int, kinds: Sequence[Kind] = KINDS) -> Fleet:
    """Launch a fleet with its past; the first kind makes up what rounding leaves."""
    counts = {kind: int(size * kind.share) for kind in kinds[1:]}
    counts = {kinds[0]: size - sum(counts.values())} | counts
    launched: dict[str, Kind] = {}
    session = cloud.session(account=account, region=region)
    for kind, number in counts.items():
        launched |= dict.fromkeys(_launch(session.client("ec2"), kind, number), kind)
    for metric in ("MetadataNoToken", "CPUUtilization"):
        series = {instance: runs for instance, kind in launched.items() if (runs := _past(metric, kind))}
        cloud.history(metric, series, account=account, region=region)
    starts = {instance: runs for instance, kind in launched.items() if (runs := _start(kind))}
    cloud.history("MetadataNoToken", starts, account=account, region=region, period=FIVE_MINUTES)
    return Fleet(account=account, region=region, kinds=launched)


def sweep(cloud: LocalCloud, fleet: Fleet, *, dry_run: bool) -> Done:
    """The whole job: list what allows IMDSv1, judge it, and (unless `dry_run`) change what may be changed."""
    order = {"account": fleet.account, "region": fleet.region, "dry_run": dry_run}
    environment = function_environment(cloud, "sweep")
    with tempfile.TemporaryDirectory() as asset:
        assemble(Path(asset), sys.executable)
        command = [sys.executable, "-I", "-S", str(SWEEPER), asset, json.dumps(order)]
        cloud.calls(reset=True)
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - began
    calls = counted(cloud)
    # What begins otherwise is the function's log.
    *pages, last = (json.loads(line) for line in done.stdout.splitlines() if line.startswith((b"[", b'{"peak')))
    return Done(
        verdicts={instance: (reason, status) for page in pages for instance, reason, status in page},
        seconds=seconds,
        peak_mib=last["peak_kib"] / 1024,
        calls=calls,
    )


def function_environment(cloud: LocalCloud, name: str) -> dict[str, str]:
    """The environment and the credentials that a deployed function has."""
    deployed = cloud.session().client("lambda").get_function_configuration(FunctionName=f"imdsv2-remediation-{name}")
    keys = cloud.session().client("sts").assume_role(RoleArn=deployed["Role"], RoleSessionName="fleet")["Credentials"]
    environment: dict[str, str] = deployed["Environment"]["Variables"]
    return environment | {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_REGION": HOME,
        "AWS_DEFAULT_REGION": HOME,
        # The local AWS has no quotas: pacing, which keeps them on AWS, would measure itself.
        "QUOTA_SHARE": "1000",
    }


def counted(cloud: LocalCloud) -> dict[tuple[str, str], int]:
    """The AWS calls since the counters were reset, by service and action."""
    calls: dict[tuple[str, str], int] = {}
    for each in cloud.calls():
        what = (each["service"], each["action"])
        calls[what] = calls.get(what, 0) + each["calls"]
    return calls


def _launch(ec2: Any, kind: Kind, number: int) -> Iterator[str]:
    launched_at = f"{datetime.fromtimestamp(time.time() - kind.launched * HOUR, UTC):%Y-%m-%dT%H:%M:%SZ}"
    tags = [{"Key": "Name", "Value": kind.name}, {"Key": "local:launched-at", "Value": launched_at}]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    for start in range(0, number, LAUNCHES_A_CALL):
        several = min(LAUNCHES_A_CALL, number - start)
        answer = ec2.run_instances(
            ImageId=image,
            MinCount=several,
            MaxCount=several,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        yield from (each["InstanceId"] for each in answer["Instances"])


def _past(metric: str, kind: Kind) -> list[tuple[int, list[float]]]:
    """Hourly values from the first datapoint to the hour under way."""
    first = kind.launched if metric == "CPUUtilization" else kind.observed
    if first is None:
        return []
    values = [5.0 if metric == "CPUUtilization" else 0.0] * (first + 1)
    if metric == "MetadataNoToken" and kind.used is not None:
        values[first - kind.used] = 12.0
    return [(int(time.time()) // HOUR * HOUR - first * HOUR, values)]


def _start(kind: Kind) -> list[tuple[int, list[float]]]:
    """The periods of five minutes of the two hours after the start, where it was observed and CloudWatch still has them."""
    if kind.observed is None or kind.observed < kind.launched or kind.launched > FINE_MEMORY:
        return []
    first = int(time.time() - kind.launched * HOUR) // FIVE_MINUTES * FIVE_MINUTES
    values = [0.0] * (2 * HOUR // FIVE_MINUTES + 1)
    if kind.used == kind.launched:
        values[1] = 12.0
    return [(first, values)]
