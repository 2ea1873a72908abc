"""What a cold start costs: from the interpreter's first line to a handler with all its clients.

Both sides get the same eight clients, and have the bytecode with which they are deployed or installed, of the interpreter that measures;
they run in turn, in fresh processes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3

from infra.asset import assemble
from infra.bytecode import compile_ahead
from local.cloud.deploy import zipped
from tests.bench.measurement import Measurement, against, spread_of

RUNS = 15
PAGE = Path(__file__).resolve().parents[3] / "docs" / "start.md"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"

OURS = """
import remediate
clients = remediate.function.service.clients
for service in ("ec2", "cloudwatch"):  # The other services in accounts are entered when somebody asks.
    clients._sessions[service].create_client(service, region_name="eu-west-1")
"""
CLIENTS = """
session = botocore.session.Session()
for service in ("ec2", "cloudwatch", "dynamodb", "ssm", "sts", "securityhub", "sns", "sqs"):
    session.create_client(service, region_name="eu-west-1")
"""
STOCK = """
import boto3
for service in ("ec2", "cloudwatch", "dynamodb", "ssm", "sts", "securityhub", "sns", "sqs"):
    boto3.client(service)
"""
TIMED = """
import sys, time
began = time.perf_counter()
sys.path.insert(0, {path!r})
{code}
print(time.perf_counter() - began)
"""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    "CUSTOM_ACTION_ID": "RequireIMDSv2",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111111111111/letters",
    "LEASE_SECONDS": "360",
    "LEDGER_TABLE": "ledger",
    "MANUAL_FUNCTION": "imdsv2-remediation-manual",
    "MEMBER_ROLES": "imdsv2-remediation-",
    "NOTIFICATIONS_TOPIC_ARN": "arn:aws:sns:eu-west-1:111111111111:topic",
    "POLICY_PARAMETER": "/imdsv2-remediation/policy",
    "POWERTOOLS_METRICS_NAMESPACE": "Imdsv2Remediation",
    "POWERTOOLS_SERVICE_NAME": "imdsv2-remediation",
    "SWEEP_ACCOUNTS": "111111111111",
    "SWEEP_BUCKET": "results",
}


def remediate() -> Measurement:
    """The function `remediate`, as it is deployed, against stock boto3."""
    with tempfile.TemporaryDirectory() as asset:
        assemble(Path(asset), sys.executable)
        stock = str(Path(boto3.__file__).parents[1])
        times = [(_timed(OURS, asset), _timed(STOCK, stock)) for _ in range(RUNS + 1)][1:]
    ours, theirs = ([pair[side] for pair in times] for side in (0, 1))
    return against(
        "init.remediate",
        statistics.median(ours),
        "s",
        statistics.median(theirs),
        "stock boto3, same clients",
        f"{spread_of(ours)} against {spread_of(theirs)}",
    )


FUNCTIONS = ("remediate", "manual", "revisit", "guard", "sweep", "check", "custom_action")
DEPENDENCIES = (
    (
        "standard library modules that all functions use",
        "import json, re, dataclasses, datetime, concurrent.futures, logging",
    ),
    ("botocore", "import botocore.session"),
    ("eight clients, models pruned", CLIENTS),
    ("Powertools' Logger and Metrics", "import aws_lambda_powertools.logging, aws_lambda_powertools.metrics"),
    ("the service itself", "import imdsv2.wiring.function"),
)
"""In the order in which a function meets them; each is measured on top of those before it."""


def table() -> list[str]:
    """The rows of docs/start.md: size and start of each function, then what each dependency adds to it."""
    with tempfile.TemporaryDirectory() as folder:
        asset = Path(folder)
        assemble(asset, None)
        bare = {name: _median(f"import {name}", folder, runs=3) for name in FUNCTIONS}
        compile_ahead(asset, sys.executable)
        unpacked = sum(file.stat().st_size for file in asset.rglob("*") if file.is_file())
        packed = len(zipped(asset))
        compiled = {name: _median(f"import {name}", folder) for name in FUNCTIONS}
        added = _added(folder)
    rows = [f"One package for all functions: {packed / 1e6:.1f} MB zipped, {unpacked / 1e6:.1f} MB unpacked.", ""]
    rows += ["| function | start, s | start of a package without bytecode, s |", "| --- | --- | --- |"]
    rows += [f"| `{name}` | {compiled[name]:.2f} | {bare[name]:.2f} |" for name in FUNCTIONS]
    rows += ["", "| what `remediate` loads | adds, s |", "| --- | --- |"]
    rows += [f"| {what} | {seconds:.3f} |" for (what, _), seconds in zip(DEPENDENCIES, added, strict=True)]
    return rows


def _added(path: str) -> list[float]:
    """What each dependency adds to those before it: all are measured in turn, so that a drift of the machine meets all."""
    steps = [
        "\n".join(["pass", *(code for _, code in DEPENDENCIES[:number])]) for number in range(len(DEPENDENCIES) + 1)
    ]
    rounds = [[_timed(step, path) for step in steps] for _ in range(RUNS)]
    return [
        statistics.median(each[number + 1] - each[number] for each in rounds) for number in range(len(DEPENDENCIES))
    ]


def _median(code: str, path: str, runs: int = RUNS) -> float:
    return statistics.median(_timed(code, path) for _ in range(runs))


def _timed(code: str, path: str) -> float:
    """Seconds, in a process that sees nothing but the standard library and one folder."""
    script = TIMED.format(path=path, code=code)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", script], env=ENVIRONMENT, capture_output=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Write the measured part of docs/start.md."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text("\n".join([before + BEGIN, "", *table(), "", END]) + after)


if __name__ == "__main__":
    main()
