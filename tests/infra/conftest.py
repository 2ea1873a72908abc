"""The app is synthesised once per session: starting jsii takes longer than all tests of its templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.templates import MEMBER_ACCOUNT, ORGANIZATION, REGION, SECURITY_ACCOUNT, Template, synthesise

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `python app.py` for a deployment with a member account and a notification address."""
    outdir = tmp_path_factory.mktemp("cdk") / "out"
    run = synthesise(outdir, member_accounts=[MEMBER_ACCOUNT], notification_email="ops@example.com")
    assert 0 == run.returncode, run.stderr
    return outdir


@pytest.fixture(scope="session")
def organization_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `python app.py` for a deployment that serves an organisation."""
    outdir = tmp_path_factory.mktemp("cdk") / "organization"
    run = synthesise(
        outdir,
        organization_id=ORGANIZATION,
        organizational_units=["ou-ab12-cd34ef56", "ou-ab12-0a1b2c3d"],
        member_regions=[REGION, "us-east-1"],
    )
    assert 0 == run.returncode, run.stderr
    return outdir


@pytest.fixture(scope="session")
def selftest_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `python app.py` for a deployment with the self-test, which serves an organisation."""
    outdir = tmp_path_factory.mktemp("cdk") / "selftest"
    run = synthesise(
        outdir, selftest=True, organization_id=ORGANIZATION, organizational_units=["ou-ab12-cd34ef56"], call_as="SELF"
    )
    assert 0 == run.returncode, run.stderr
    return outdir


@pytest.fixture(scope="session")
def selftest_template(selftest_assembly: Path) -> Template:
    """The service with the self-test, in the security account."""
    return Template.of(selftest_assembly / "Imdsv2Remediation.template.json", account=SECURITY_ACCOUNT)


@pytest.fixture(scope="session")
def selftest_member_template(selftest_assembly: Path) -> Template:
    """The roles with that of the self-test, in a member account."""
    return Template.of(
        selftest_assembly / "Imdsv2RemediationMember.template.json",
        account=MEMBER_ACCOUNT,
        SecurityAccountId=SECURITY_ACCOUNT,
        OrganizationId=ORGANIZATION,
    )


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


@pytest.fixture(scope="session")
def organization_template(organization_assembly: Path) -> Template:
    """The service, in the security account of an organisation."""
    return Template.of(organization_assembly / "Imdsv2Remediation.template.json", account=SECURITY_ACCOUNT)


@pytest.fixture(scope="session")
def organization_member_template(assembly: Path) -> Template:
    """The roles, in a member account of an organisation."""
    return Template.of(
        assembly / "Imdsv2RemediationMember.template.json",
        account=MEMBER_ACCOUNT,
        SecurityAccountId=SECURITY_ACCOUNT,
        OrganizationId=ORGANIZATION,
    )


@pytest.fixture(scope="session")
def forwarding_template(assembly: Path) -> Template:
    """The rule that forwards Config's events, in another Region of a member account."""
    return Template.of(
        assembly / "Imdsv2RemediationForwarding.template.json",
        account=MEMBER_ACCOUNT,
        region="us-east-1",
        SecurityAccountId=SECURITY_ACCOUNT,
        HomeRegion=REGION,
    )
