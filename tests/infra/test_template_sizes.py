"""What CloudFormation takes of a template: with every setting on, and with the longest names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.infra.templates import ORGANIZATION, SECURITY_ACCOUNT, Template, synthesise
from tests.infra.test_as_aws_deploys import LONGEST_INLINE_POLICIES, LONGEST_TRUST, compact

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_BODY = 51_200
"""Bytes of a template that is handed over as text, by a StackSet's property or by `aws cloudformation deploy` without a bucket."""
MOST_RESOURCES = 500
MOST_OUTPUTS = MOST_PARAMETERS = 200
PREFIX, STACK = "z" * 24, "Z" + "z" * 23


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `npx cdk deploy` makes it: the command line asks the CDK to report on itself."""
    outdir = tmp_path_factory.mktemp("cdk") / "everything"
    units = ["ou-ab12-cd34ef56"]
    run = synthesise(
        outdir,
        **{"aws:cdk:version-reporting": True},
        organization_id=ORGANIZATION,
        organizational_units=units,
        selftest=True,
        capture={"bucket": "b" * 63, "key": f"{'k' * 200}.tar.gz", "region": "eu-west-1", "sha256": "f" * 64},
        guardrails={"launches": units, "openings": units, "defaults": units, "delivery": units, "credentials": units},
        config_rule_names=[f"{letter * 30}*" for letter in "abcdefghijkl"],
        name_prefix=PREFIX,
        role_prefix="R" * 16,
        role_path=f"/{'p' * 62}/",
        role_permissions_boundary=f"{'limits' * 40}/{'B' * 128}",
    )
    assert 0 == run.returncode, run.stderr
    return outdir


@pytest.mark.parametrize("part", ["Member", "Forwarding", "Guardrails"])
def test_a_template_that_is_deployed_as_a_file_fits(part: str, everything: Path) -> None:
    """Whoever deploys it needs no bucket; and the CDK, of which nothing has to be there, adds nothing of its own to it."""
    text = (everything / f"{STACK}{part}.template.json").read_text()
    assert len(text.encode()) <= LONGEST_BODY
    assert "AWS::CDK::Metadata" not in text


def test_what_is_handed_to_stack_sets_fits_and_leaves_room(everything: Path) -> None:
    """A StackSet that is refused rolls the service's own stack back. White space is half of a template."""
    service = Template.of(everything / f"{STACK}.template.json", account=SECURITY_ACCOUNT)
    bodies = {
        each["StackSetName"]: each["TemplateBody"]
        for each in service.resources("AWS::CloudFormation::StackSet").values()
    }
    assert {f"{STACK}Member", f"{STACK}Forwarding"} == bodies.keys()
    for name, body in bodies.items():
        assert len(body.encode()) <= LONGEST_BODY * 2 / 3
        assert json.loads((everything / f"{name}.template.json").read_text()) == json.loads(body)


def test_no_stack_has_more_than_cloudformation_takes(everything: Path) -> None:
    """With all settings on."""
    templates = {each.name: json.loads(each.read_text()) for each in everything.glob("*.template.json")}
    assert 4 == len(templates)
    for template in templates.values():
        assert len(template["Resources"]) <= MOST_RESOURCES
        assert len(template.get("Outputs", {})) <= MOST_OUTPUTS
        assert len(template.get("Parameters", {})) <= MOST_PARAMETERS


@pytest.mark.parametrize("part", ["Member", "Forwarding"])
def test_who_deploys_a_template_is_told_which_installation_is_meant(part: str, everything: Path) -> None:
    """A pilot's members trust the account of the pilot."""
    parameters = json.loads((everything / f"{STACK}{part}.template.json").read_text())["Parameters"]
    told = {
        name: each["Description"] for name, each in parameters.items() if name in ("SecurityAccountId", "HomeRegion")
    }
    assert told
    assert [] == [name for name, description in told.items() if f"the stack {STACK} is" not in description]


def test_roles_fit_the_quotas_of_iam_with_every_setting_on(everything: Path) -> None:
    """Of an organisation, with the self-test and the analyzer, in the partition with the longest name."""
    service = Template.of(everything / f"{STACK}.template.json", account=SECURITY_ACCOUNT)
    roles = {each["RoleName"]: each for each in service.resources("AWS::IAM::Role").values()}
    trusts = {name: len(compact(each["AssumeRolePolicyDocument"])) for name, each in roles.items()}
    inline = {name: len(compact(service.policies_of(name))) for name in roles}
    assert {} == {name: size for name, size in trusts.items() if size > LONGEST_TRUST}
    assert {} == {name: size for name, size in inline.items() if size > LONGEST_INLINE_POLICIES}
