"""The app is synthesised once a session: starting jsii takes longer than every test of its templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.templates import MEMBER_ACCOUNT, SECURITY_ACCOUNT, Template, synthesise

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python app.py` writes, for a deployment with a member account and somebody to tell."""
    outdir = tmp_path_factory.mktemp("cdk") / "out"
    run = synthesise(outdir, member_accounts=[MEMBER_ACCOUNT], notification_email="ops@example.com")
    assert 0 == run.returncode, run.stderr
    return outdir


@pytest.fixture(scope="session")
def template(assembly: Path) -> Template:
    """The service, in the security account."""
    return Template.of(assembly / "Imdsv2Remediation.template.json", account=SECURITY_ACCOUNT)


@pytest.fixture(scope="session")
def member_template(assembly: Path) -> Template:
    """The roles, in a member account."""
    return Template.of(
        assembly / "Imdsv2RemediationMember.template.json",
        account=MEMBER_ACCOUNT,
        SecurityAccountId=SECURITY_ACCOUNT,
    )
