"""How long a person waits for the command line: its help, and what is open in a fleet of 100,000 instances.

`status` reads the file of the last sweep and what the ledger has learnt since, which does not depend on how much the ledger holds:
nothing is scanned. A fresh process each time, as at a prompt.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import InstanceArn
from imdsv2.ledger.change import VERDICT, Change
from imdsv2.ledger.record import Record
from imdsv2.ledger.table import Ledger
from local.cloud.run import HOME, SECURITY
from tests.bench.measurement import Measurement, spread_of
from tests.world.bucket import Bucket
from tests.world.rows import fill, required, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud.run import LocalCloud

ROOT = Path(__file__).resolve().parents[3]
RUNS = 7
INSTANCES = 100_000
_MAIN = """
import atexit, sys
from pathlib import Path
atexit.register(lambda: print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0], file=sys.stderr))
from imdsv2_cli.main import main
main()
"""
"""What the script `imdsv2` does; at its end it tells its largest resident set. getrusage would tell the parent's, where that is larger."""
CHANGED = 1_000
"""So many instances have another verdict since the sweep."""


def help_() -> Measurement:
    """`imdsv2 --help`."""
    times = [_run("--help", environment=_environment())[0] for _ in range(RUNS)]
    return Measurement(name="cli.help", value=statistics.median(times), unit="s", spread=spread_of(times))


def status(cloud: LocalCloud) -> Measurement:
    """`imdsv2 status` after a night; with the memory that it takes."""
    _night(cloud)
    environment = {**_environment(), "AWS_ENDPOINT_URL": cloud.endpoint}
    taken = [_run("status", "--output", "json", environment=environment) for _ in range(RUNS)]
    times = [each for each, _ in taken]
    spread = f"{spread_of(times)}, at most {max(peak for _, peak in taken):.0f} MiB"
    return Measurement(name="cli.status", value=statistics.median(times), unit="s", spread=spread)


def _night(cloud: LocalCloud) -> None:
    """The file of a sweep that ended an hour ago, and what has been judged since."""
    now = datetime.now(UTC)
    as_of = (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    bucket = Bucket()
    fill(bucket, _rows(as_of), oldest=as_of, ended_at=f"{as_of[:19]}Z")
    s3 = cloud.session().client("s3")
    for key, body in bucket.objects.items():
        s3.put_object(Bucket=cloud.outputs["SweepBucketName"], Key=key, Body=body)
    ledger = Ledger(cloud.session().client("dynamodb"), cloud.outputs["LedgerTableName"])
    held: dict[str, Any] = {"status": "held", "decision": "hold", "reason": "too_young", "decided_at": now}
    arns = [
        InstanceArn("aws", HOME, f"{number % 200:012}", f"i-{number:017x}")
        for number in range(0, INSTANCES, INSTANCES // CHANGED)
    ]
    changes = [Change(before=Record(arn=each), after=Record(arn=each, **held), says=VERDICT) for each in arns]
    written = ledger.write(changes, now)
    assert not written.lost, written


def _rows(as_of: str) -> Iterator[dict[str, str]]:
    for number in range(INSTANCES):
        place = {"account": f"{number % 200:012}", "owner": f"team-{number % 40}", "as_of": as_of}
        yield row(number, **place) if number % 3 == 0 else required(number, **place)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    keys = {"AWS_ACCESS_KEY_ID": SECURITY, "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": HOME}
    return {**kept, **keys, "PYTHONPATH": f"{ROOT / 'cli'}{os.pathsep}{ROOT / 'lambdas'}"}


def _run(*args: str, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and MiB of one run."""
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", _MAIN, *args],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    took = time.perf_counter() - began
    if ended.returncode:
        raise RuntimeError(f"imdsv2 {' '.join(args)} ended with {ended.returncode}: {ended.stderr}")
    return took, int(ended.stderr.split()[-1]) / 1024
