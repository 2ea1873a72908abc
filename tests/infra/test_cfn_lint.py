"""cfn-lint, which knows CloudFormation's own schemas, has nothing to say."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["Imdsv2Remediation", "Imdsv2RemediationMember"])
def test_template_is_clean(name: str, assembly: Path) -> None:
    """Neither an error nor a warning, in a Region of each partition that cfn-lint knows."""
    regions = ["eu-west-1", "cn-north-1", "us-gov-west-1"]
    command = [sys.executable, "-m", "cfnlint", "--template", str(assembly / f"{name}.template.json"), "--regions", *regions]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (run.returncode, run.stdout)
