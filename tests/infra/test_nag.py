"""cdk-nag's AwsSolutions and NIST 800-53 R5 find nothing but what `infra/exceptions.py` accepts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.exceptions import ACCEPTED, BY_PATH, below_stack, named
from infra.names import Names
from tests.infra.templates import ORGANIZATION, ROOT

SCRIPT = Path(__file__).with_name("judge_nag.py")
IN_ORGANIZATION = {
    "organization_id": ORGANIZATION,
    "organizational_units": ["ou-ab12-cd34ef56"],
    "selftest": True,
    "capture": {"bucket": "acme-tools", "key": "analyzer.tar.gz", "region": "eu-west-1", "sha256": "0a" * 32},
}
Finding = tuple[str, str]
"""Rule, and path of the construct."""


def judged(outdir: Path, *arguments: str, **settings: Any) -> set[Finding]:
    """The findings of both packs in a synthesis with these settings."""
    run = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "CDK_OUTDIR": str(outdir),
            "CDK_CONTEXT_JSON": json.dumps(settings),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == run.returncode, run.stderr
    report = json.loads((outdir / "validation-report.json").read_text())
    return {
        (violation["ruleName"], construct["constructPath"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    }


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> set[Finding]:
    """What both packs find in an organisation if nothing is accepted."""
    return judged(tmp_path_factory.mktemp("nag") / "bare", "bare", **IN_ORGANIZATION)


@pytest.mark.parametrize(
    "settings",
    [
        IN_ORGANIZATION,
        {
            "selftest": True,
            "capture": IN_ORGANIZATION["capture"],
            "name_prefix": "imdsv2-pilot",
            "role_prefix": "acme-",
            "role_path": "/security/",
        },
    ],
    ids=["organisation", "another name"],
)
def test_nothing_is_left_to_find(settings: dict[str, Any], tmp_path: Path) -> None:
    """In every stack, whatever it is called."""
    assert set() == judged(tmp_path / "out", **settings)


def test_the_packs_look_at_every_stack(bare: set[Finding]) -> None:
    """Without the exceptions, every stack has findings of both: the packs are active, in the stage too."""
    stacks = ("Imdsv2Remediation/", "Member/Imdsv2RemediationMember/", "Member/Imdsv2RemediationForwarding/")
    for pack in BY_PATH:
        found = {path for rule, path in bare if rule.startswith(pack)}
        assert [] == [stack for stack in stacks if not any(path.startswith(stack) for path in found)], pack


def test_every_exception_is_needed_and_says_why(bare: set[Finding]) -> None:
    """One that is no longer needed would hide the next mistake."""
    nag = [each for each in named(Names()) if each.rule.startswith(BY_PATH)]
    idle = [each for each in nag if not any(each.covers(rule, below_stack(path)) for rule, path in bare)]
    assert [] == idle
    assert [] == [each for each in ACCEPTED if not each.reason.endswith(".")]
