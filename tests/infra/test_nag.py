"""cdk-nag's AwsSolutions rules pass, and every exception to them is needed and has a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.templates import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SYNTHESISE_WITHOUT_EXCEPTIONS = """
import json, sys
import infra.nag
noted = []
infra.nag.acknowledge = lambda construct, rule, reason: noted.append([construct.node.path, rule, reason])
import app
try:
    app.main()
except RuntimeError:
    print(json.dumps(noted))
"""


@pytest.fixture(scope="module")
def without_exceptions(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """The exceptions that the constructs request, and cdk-nag's findings without any of them: construct and rule."""
    outdir = tmp_path_factory.mktemp("nag") / "out"
    run = subprocess.run(
        [sys.executable, "-c", SYNTHESISE_WITHOUT_EXCEPTIONS],
        cwd=ROOT,
        env={**os.environ, "CDK_OUTDIR": str(outdir), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout), findings(outdir)


def findings(outdir: Path) -> list[tuple[str, str]]:
    """Every finding of the AwsSolutions pack in a cloud assembly."""
    report: dict[str, Any] = json.loads((outdir / "validation-report.json").read_text())
    return [
        (construct["constructPath"], violation["ruleName"])
        for plugin in report["pluginReports"]
        if plugin["pluginName"] == "AwsSolutions"
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]


@pytest.mark.parametrize("deployment", ["assembly", "organization_assembly"])
def test_nothing_is_left_to_find(deployment: str, request: pytest.FixtureRequest) -> None:
    """Every stack passes with the exceptions that its constructs state."""
    assert [] == findings(request.getfixturevalue(deployment))


def test_the_pack_looks_at_every_stack(without_exceptions: tuple[list[list[str]], list[tuple[str, str]]]) -> None:
    """Without the exceptions, every stack has findings: the pack is active, in the stage too."""
    _, found = without_exceptions
    stacks = {"Imdsv2Remediation", "Member/Imdsv2RemediationMember", "Member/Imdsv2RemediationForwarding"}
    assert stacks == {stack for stack in stacks for path, _ in found if path.startswith(f"{stack}/")}


def test_every_exception_is_needed_and_says_why(
    without_exceptions: tuple[list[list[str]], list[tuple[str, str]]],
) -> None:
    """An exception that is no longer needed would hide the next mistake."""
    noted, found = without_exceptions
    idle = [
        (path, rule)
        for path, rule, _ in noted
        if not any(where.startswith(f"{path}/") and what == rule for where, what in found)
    ]
    assert [] == idle
    assert all(reason.endswith(".") for _, _, reason in noted)
