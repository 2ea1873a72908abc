"""Cloud Custodian on a fleet: the policy that its documentation leads to, run by its own command line in its own environment.

Custodian has the faster road of two that its filters offer (one datapoint for the whole window, states filtered by EC2), no cache, and an
administrator's keys in the account; the service has its roles and its ledger.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.measurements.fleet import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.cloud.run import LocalCloud
    from tests.bench.measurements.fleet import Fleet

COMMAND = Path(__file__).resolve().parents[3] / ".venv-custodian" / "bin" / "custodian"
NAME = "require-imdsv2"


def policy(lookback_days: int) -> dict[str, Any]:
    """Running instances that allow IMDSv1 and did not use it in the window get tokens required; what has no data is left alone."""
    return {
        "name": NAME,
        "resource": "aws.ec2",
        "query": [{"instance-state-name": "running"}],
        "filters": [
            {"MetadataOptions.HttpTokens": "optional"},
            {
                "type": "metrics",
                "name": "MetadataNoToken",
                "statistics": "Sum",
                "days": lookback_days,
                "op": "equal",
                "value": 0,
            },
        ],
        "actions": [{"type": "set-metadata-access", "tokens": "required"}],
    }


@dataclass(frozen=True, kw_only=True)
class Done:
    """What Custodian did: the instances that it chose to change, seconds of wall clock for the process, and AWS calls."""

    chosen: frozenset[str]
    seconds: float
    calls: Mapping[tuple[str, str], int]


def run(cloud: LocalCloud, fleet: Fleet, *, lookback_days: int, dry_run: bool) -> Done:
    """Run the policy on a fleet; with `dry_run` it chooses and changes nothing."""
    cloud.calls(reset=True)
    chosen, seconds = execute(cloud, policy(lookback_days), account=fleet.account, region=fleet.region, dry_run=dry_run)
    return Done(chosen=chosen, seconds=seconds, calls=counted(cloud))


def execute(
    cloud: LocalCloud, document: Mapping[str, Any], *, account: str, region: str, dry_run: bool
) -> tuple[frozenset[str], float]:
    """The ids of the instances that a policy chooses, and the seconds that the process took."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "policy.json"
        written.write_text(json.dumps({"policies": [document]}))
        command = [str(COMMAND), "run", "--region", region, "--cache-period", "0", "--output-dir", folder]
        began = time.perf_counter()
        subprocess.run(
            [*command, *(["--dryrun"] if dry_run else []), str(written)],
            env=environment(cloud, account=account, region=region),
            check=True,
        )
        seconds = time.perf_counter() - began
        chosen = json.loads((Path(folder) / document["name"] / "resources.json").read_text())
    return frozenset(each["InstanceId"] for each in chosen), seconds


def environment(cloud: LocalCloud, *, account: str, region: str) -> dict[str, str]:
    """What makes a command an administrator of an account of the local AWS, and nothing else of the caller's settings."""
    return {
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "HOME": os.environ["HOME"],
        "PATH": os.environ["PATH"],
    }
