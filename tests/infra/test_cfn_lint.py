"""cfn-lint, which knows CloudFormation's own schemas, reports nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.exceptions import ACCEPTED

CFN_LINT = Path(sys.executable).with_name("cfn-lint")
IGNORED = [each.rule for each in ACCEPTED if each.rule.startswith(("E", "I", "W"))]

MEMBERS = ("Imdsv2RemediationMember", "Imdsv2RemediationForwarding")


@pytest.mark.parametrize(
    ("deployment", "name"),
    [
        ("assembly", "Imdsv2Remediation"),
        ("organization_assembly", "Imdsv2Remediation"),
        *(("assembly", name) for name in MEMBERS),
        ("selftest_assembly", "Imdsv2Remediation"),
        ("selftest_assembly", "Imdsv2RemediationMember"),
    ],
)
def test_template_is_clean(deployment: str, name: str, request: pytest.FixtureRequest) -> None:
    """Neither an error nor a warning, in Regions of each partition that cfn-lint knows."""
    assembly: Path = request.getfixturevalue(deployment)
    template = str(assembly / f"{name}.template.json")
    regions = ["eu-west-1", "us-east-1", "cn-north-1", "us-gov-west-1"]
    command = [str(CFN_LINT), "--template", template, "--ignore-checks", *IGNORED, "--regions", *regions]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "", "") == (run.returncode, run.stdout, run.stderr)
