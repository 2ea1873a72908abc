"""What a cold start costs: from the interpreter's first line to a handler with all its clients.

Both sides get the same eight clients and are compiled beforehand; they run in turn, in fresh processes.
"""

from __future__ import annotations

import compileall
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3

from infra.asset import assemble
from tests.bench.measurement import Measurement, against, spread_of

RUNS = 11

OURS = """
import remediate
members = remediate.service.line.members
for service, session in members._sessions.items():
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
    "DEAD_LETTER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111111111111/letters",
    "LEASE_SECONDS": "360",
    "LEDGER_TABLE": "ledger",
    "NOTIFICATIONS_TOPIC_ARN": "arn:aws:sns:eu-west-1:111111111111:topic",
    "POLICY_PARAMETER": "/imdsv2-remediation/policy",
    "POWERTOOLS_METRICS_NAMESPACE": "Imdsv2Remediation",
    "POWERTOOLS_SERVICE_NAME": "imdsv2-remediation",
}


def remediate() -> Measurement:
    """The function `remediate`, as it is deployed, against stock boto3."""
    with tempfile.TemporaryDirectory() as asset:
        assemble(Path(asset))
        compileall.compile_dir(asset, quiet=2)
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


def _timed(code: str, path: str) -> float:
    """Seconds, in a process that sees nothing but the standard library and one folder."""
    script = TIMED.format(path=path, code=code)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], env=ENVIRONMENT, capture_output=True, check=True)
    return float(done.stdout)
