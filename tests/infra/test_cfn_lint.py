"""cfn-lint, which knows CloudFormation's own schemas, reports nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CFN_LINT = Path(sys.executable).with_name("cfn-lint")
WRITTEN_BY_THE_CDK = "W3005"
"""A dependency stated twice: the CDK always states those that a reference implies."""


MEMBERS = ("Imdsv2RemediationMember", "Imdsv2RemediationForwarding")


@pytest.mark.parametrize(
    ("deployment", "name"),
    [
        ("assembly", "Imdsv2Remediation"),
        ("organization_assembly", "Imdsv2Remediation"),
        *(("assembly", name) for name in MEMBERS),
    ],
)
def test_template_is_clean(deployment: str, name: str, request: pytest.FixtureRequest) -> None:
    """Neither an error nor a warning, in a Region of each partition that cfn-lint knows."""
    assembly: Path = request.getfixturevalue(deployment)
    template = str(assembly / f"{name}.template.json")
    regions = ["eu-west-1", "cn-north-1", "us-gov-west-1"]
    command = [str(CFN_LINT), "--template", template, "--ignore-checks", WRITTEN_BY_THE_CDK, "--regions", *regions]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "", "") == (run.returncode, run.stdout, run.stderr)
