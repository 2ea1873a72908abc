"""Prowler and Cloud Custodian, each run by its own command line, each asked where IMDSv1 is still allowed."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.cloud.run import ROOT
from tests.bench.measurements import custodian

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.cloud.run import LocalCloud

PROWLER = ROOT / ".venv-prowler" / "bin" / "prowler"

INSTANCES = "ec2_instance_imdsv2_enabled"
ACCOUNT = "ec2_instance_account_imdsv2_enabled"
TEMPLATES = "ec2_launch_template_imdsv2_required"
GROUPS = "autoscaling_group_launch_configuration_requires_imdsv2"
CHECKS = (INSTANCES, ACCOUNT, TEMPLATES, GROUPS)
"""All checks of Prowler for IMDSv1, but for `ec2_confidential_workload_host_imdsv2_not_enforced`: the local AWS has no enclaves."""

FOUNDATIONAL = ("--compliance", "aws_foundational_security_best_practices_aws")
"""The checks that Prowler has for Security Hub's standard of that name."""

ALLOWS_V1: dict[str, Any] = {
    "name": "allows-imdsv1",
    "resource": "aws.ec2",
    "filters": [
        {"not": [{"State.Name": "terminated"}]},
        {"MetadataOptions.HttpEndpoint": "enabled"},
        {"MetadataOptions.HttpTokens": "optional"},
    ],
}
"""Custodian has no filter for the metadata options by name; its documentation leads to these filters by value."""


def prowler(
    cloud: LocalCloud, *, account: str, region: str, asked: Sequence[str] = ("--checks", *CHECKS)
) -> dict[tuple[str, str], str]:
    """PASS or FAIL by check and ARN. ``asked``: the options that choose the checks."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(str(PROWLER), "aws", "--region", region, *asked),
                *("--output-formats", "json-ocsf", "--output-directory", folder, "--output-filename", "found"),
                *("--no-banner", "--no-color", "--ignore-exit-code-3"),
            ],
            # Profiles in the caller's home would take part.
            env={**custodian.environment(cloud, account=account, region=region), "HOME": folder},
            check=True,
        )
        found = json.loads((Path(folder) / "found.ocsf.json").read_text())
    return {
        (each["metadata"]["event_code"], resource["uid"]): each["status_code"]
        for each in found
        for resource in each["resources"]
    }


def custodians(cloud: LocalCloud, *, account: str, region: str) -> frozenset[str]:
    """The ids of the instances on which Custodian sees IMDSv1 allowed."""
    return custodian.execute(cloud, ALLOWS_V1, account=account, region=region, dry_run=True)[0]
