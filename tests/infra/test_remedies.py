"""Remedies before judges that are not ours: cfn-lint, checkov, a parser of HCL, and the CDK itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aws_cdk import App, Stack, assertions, aws_ec2

from imdsv2.source.remedies import remedies_of, remedies_of_image
from imdsv2.source.remedy import Language, Remedy
from tests.infra.templates import ROOT
from tests.unit.source_builders import NASTY, OWN_IMAGE, STACK, catalogue, found, with_template

if TYPE_CHECKING:
    from collections.abc import Iterator

CFN_LINT = Path(sys.executable).with_name("cfn-lint")
JUDGES = ROOT / ".venv-judges" / "bin"
REST: dict[str, dict[str, Any]] = {
    "AWS::EC2::LaunchTemplate": {
        "LaunchTemplateData": {"ImageId": "ami-0b2b2b2b2b2b2b2b2", "InstanceType": "t3.micro"}
    },
    "AWS::EC2::Instance": {"ImageId": "ami-0b2b2b2b2b2b2b2b2", "InstanceType": "t3.micro"},
    "AWS::AutoScaling::LaunchConfiguration": {"ImageId": "ami-0b2b2b2b2b2b2b2b2", "InstanceType": "t3.micro"},
}
"""The rest of a resource into which a remedy is merged."""
OBSOLETE = "W3697"
"""AWS recommends launch templates in place of launch configurations; whoever has one may keep it."""
PARSE = """
import json, sys, hcl2
print(json.dumps([hcl2.loads(text) for text in json.load(sys.stdin)]))
"""


def remedies(language: Language) -> Iterator[Remedy]:
    """Every remedy of the catalogue in a language, with plain names and with nasty ones."""
    for name in ("shop", NASTY):
        for source in catalogue(name).values():
            yield from (each for each in remedies_of(source) if each.language is language)
    yield from (
        each for each in remedies_of_image(found().images[OWN_IMAGE], "eu-central-1") if each.language is language
    )


def merged(remedy: Remedy) -> dict[str, Any]:
    """A template with the resource into which the remedy was merged."""
    document: dict[str, Any] = yaml.safe_load(remedy.text)
    for resource in document["Resources"].values():
        properties = resource["Properties"]
        for name, value in REST[resource["Type"]].items():
            properties[name] = {**value, **properties.get(name, {})} if isinstance(value, dict) else value
    return document


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The remedies as files: stacks, and modules of Terraform."""
    directory = tmp_path_factory.mktemp("remedies")
    for number, remedy in enumerate(remedies(Language.CLOUDFORMATION)):
        (directory / f"stack{number}.yaml").write_text(yaml.safe_dump(merged(remedy)))
    for number, remedy in enumerate(remedies(Language.TERRAFORM)):
        (directory / f"module{number}").mkdir()
        (directory / f"module{number}" / "main.tf").write_text(remedy.text)
    return directory


def test_cfn_lint_finds_nothing(written: Path) -> None:
    """Neither an error nor a warning."""
    templates = [str(each) for each in sorted(written.glob("*.yaml"))]
    assert len(templates) >= 6
    command = [str(CFN_LINT), "--template", *templates, "--ignore-checks", OBSOLETE]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "", "") == (run.returncode, run.stdout, run.stderr)


def checkov(directory: Path) -> dict[str, set[str]]:
    """Checkov's findings: the files that pass, fail or are skipped, each with the check."""
    command = [str(JUDGES / "checkov"), "--directory", str(directory), "--framework", "cloudformation", "terraform"]
    options = ["--check", "CKV_AWS_79,CKV_AWS_341", "--output", "json", "--compact", "--skip-download"]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    reports = json.loads(run.stdout)
    several = reports if isinstance(reports, list) else [reports]
    return {
        outcome: {
            f"{each['check_id']} {each['file_path'].lstrip('/')}"
            for report in several
            for each in report.get("results", {}).get(f"{outcome}_checks", [])
        }
        for outcome in ("passed", "failed", "skipped")
    }


def test_checkov_finds_nothing(written: Path) -> None:
    """Tokens are required everywhere; a hop limit above 1 is a choice that the text states."""
    told = checkov(written)
    assert set() == told["failed"]
    modules = {f"CKV_AWS_79 {each.relative_to(written)}" for each in written.glob("*/main.tf")}
    assert modules <= told["passed"]
    assert {each.split()[0] for each in told["skipped"]} == {"CKV_AWS_341"}


def test_what_we_would_find_fault_with_fails(written: Path, tmp_path: Path) -> None:
    """The same texts with tokens optional, and with a higher hop limit that nobody explains."""
    for each in [*written.glob("*.yaml"), *written.glob("*/main.tf")]:
        copy = tmp_path / each.relative_to(written)
        copy.parent.mkdir(exist_ok=True)
        text = each.read_text().replace("required", "optional")
        copy.write_text("\n".join(line for line in text.splitlines() if "checkov:skip" not in line))
    told = checkov(tmp_path)
    # Checkov knows no options of an AWS::EC2::Instance, nor of a launch configuration in CloudFormation.
    known = [each for each in tmp_path.glob("*.yaml") if "AWS::EC2::LaunchTemplate" in each.read_text()]
    files = [*known, *tmp_path.glob("*/main.tf")]
    assert {f"CKV_AWS_79 {each.relative_to(tmp_path)}" for each in files} <= told["failed"]
    assert {"CKV_AWS_341", "CKV_AWS_79"} == {each.split()[0] for each in told["failed"]}


def test_hcl_is_hcl() -> None:
    """Read by a parser of Terraform's language: one block, with the options and the names as they are."""
    texts = [each.text for language in (Language.TERRAFORM, Language.PACKER) for each in remedies(language)]
    run = subprocess.run(
        [str(JUDGES / "python"), "-c", PARSE], input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    for text, document in zip(texts, json.loads(run.stdout), strict=True):
        assert ("required" in json.dumps(document), 1) == (True, text.count("metadata_options {"))


def test_the_cdk_applies_the_override_to_that_resource_alone() -> None:
    """The remedy is run in an app: the template with this logical id requires tokens, another is left as it is."""
    stack = Stack(App(), "Shop")
    mine, other = (aws_ec2.CfnLaunchTemplate(stack, name, launch_template_data={}) for name in ("Mine", "Other"))
    tags = {**STACK, "aws:cloudformation:logical-id": stack.get_logical_id(mine)}
    (remedy,) = [
        each
        for each in remedies_of(with_template(template_tags=tags, options={"HttpPutResponseHopLimit": 2}))
        if each.language is Language.CDK_PYTHON
    ]
    names: dict[str, Any] = {}
    exec(compile(remedy.text, "remedy", "exec"), names)  # noqa: S102 - the text that people are to run
    names["require_imdsv2"](stack)
    made = assertions.Template.from_stack(stack).find_resources("AWS::EC2::LaunchTemplate")
    assert {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 2} == made[
        stack.get_logical_id(mine)
    ]["Properties"]["LaunchTemplateData"]["MetadataOptions"]
    assert {} == made[stack.get_logical_id(other)]["Properties"]["LaunchTemplateData"]


def test_typescript_is_javascript_with_types(tmp_path: Path) -> None:
    """Node reads it once the annotations are taken away; a compiler of TypeScript would be a large thing for a few lines."""
    for number, remedy in enumerate(remedies(Language.CDK_TYPESCRIPT)):
        assert remedy.text.count(": Stack") == remedy.text.count(": void") == 1
        script = tmp_path / f"remedy{number}.mjs"
        script.write_text(remedy.text.replace(": Stack", "").replace(": void", ""))
        run = subprocess.run(["node", "--check", str(script)], capture_output=True, text=True, check=False)
        assert (0, "") == (run.returncode, run.stderr)
