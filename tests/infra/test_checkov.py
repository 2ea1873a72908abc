"""checkov finds nothing but what `infra/exceptions.py` accepts."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra.exceptions import ACCEPTED
from tests.infra.templates import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CHECKOV = ROOT / ".venv-judges" / "bin" / "checkov"
STACKS = ("Imdsv2Remediation", "Imdsv2RemediationMember", "Imdsv2RemediationForwarding")
Finding = tuple[str, str]
"""Check, and logical id of the resource."""


@pytest.fixture(scope="module")
def found(selftest_assembly: Path) -> set[Finding]:
    """What checkov finds in all templates."""
    command = [str(CHECKOV), "--framework", "cloudformation", "--output", "json", "--quiet", "--compact"]
    for stack in STACKS:
        command += ["--file", str(selftest_assembly / f"{stack}.template.json")]
    # It asks its makers' servers for guidelines, and goes on without an answer.
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(run.stdout)
    assert 0 == report["summary"]["parsing_errors"]
    assert report["summary"]["passed"] > 100
    return {(each["check_id"], each["resource"].partition(".")[2]) for each in report["results"]["failed_checks"]}


def test_nothing_is_left_to_find(found: set[Finding]) -> None:
    """In all three templates."""
    assert [] == sorted(each for each in found if not any(accepted.covers(*each) for accepted in ACCEPTED))


def test_every_exception_is_needed(found: set[Finding]) -> None:
    """One that is no longer needed would hide the next mistake."""
    ours = [each for each in ACCEPTED if each.rule.startswith("CKV")]
    assert ours
    assert [] == [each for each in ours if not any(each.covers(*finding) for finding in found)]
