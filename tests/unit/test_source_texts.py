"""Remedies as texts to merge: each parses in its language, says what it is meant to say, and keeps the names that things have."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.source import quoting
from imdsv2.source.remedies import remedies_of, remedies_of_image
from imdsv2.source.remedy import Language, Remedy
from tests.unit.source_builders import NASTY, OWN_IMAGE, STACK, catalogue, found, with_template

NAMES = ["shop", NASTY, "yes", "1", "ünïcode 名前"]
REPLACING = {
    "Karpenter": "drifted",
    "Karpenter, no class": "drifted",
    "EKS node group": "node",
    "Beanstalk": "replaces all running instances",
    "Batch": "infrastructure update",
    "Batch, own template": "infrastructure update",
    "EKS node group, own template": "EKS replaces all nodes",
    "EKS node group, own template in a stack": "EKS replaces all nodes",
    "EKS node group, own template of Terraform": "EKS replaces all nodes",
    "group in a stack": "UpdatePolicy",
    "launch configuration in a stack": "UpdatePolicy",
    "group of Terraform": "instance_refresh",
    "group of Terraform, pinned": "instance_refresh",
}
"""Kinds whose remedies may replace running instances, and a word of what has to be said of it."""


def texts(kind: str, language: Language, name: str = "shop") -> list[Remedy]:
    """A source's remedies in one language."""
    return [each for each in remedies_of(catalogue(name)[kind]) if each.language is language]


@pytest.mark.parametrize("kind", sorted(catalogue()))
def test_every_source_that_allows_imdsv1_has_a_remedy(kind: str) -> None:
    """With a text, a sentence, and a word on what is replaced where something is."""
    remedies = remedies_of(catalogue()[kind])
    assert remedies
    for each in remedies:
        assert each.text.strip()
        assert each.says.endswith((".", "."))
    if kind in REPLACING:
        assert any(REPLACING[kind] in (each.replaces or "") for each in remedies)


@pytest.mark.parametrize(
    ("kind", "languages"),
    [
        ("group, default version", ["aws-cli", "terraform"]),
        ("group in a stack", ["cloudformation", "cdk-python", "cdk-typescript"]),
        ("launch configuration in a stack", ["cloudformation", "cdk-python", "cdk-typescript"]),
        ("instance of a stack", ["cloudformation", "cdk-python", "cdk-typescript"]),
        ("group of Terraform", ["terraform"]),
        ("instance of Terraform", ["terraform"]),
        ("Karpenter", ["karpenter"]),
        ("EKS node group", ["eksctl", "aws-cli"]),
        ("EKS node group, own template", ["aws-cli"]),
        ("EKS node group, own template in a stack", ["cloudformation", "cdk-python", "cdk-typescript"]),
        ("EKS node group, own template of Terraform", ["terraform"]),
        ("Batch, own template", ["aws-cli"]),
        ("Beanstalk", ["beanstalk", "aws-cli"]),
        ("by hand", ["aws-cli"]),
    ],
)
def test_a_source_is_changed_in_the_language_that_manages_it(kind: str, languages: list[str]) -> None:
    """Never behind its owner's back."""
    assert languages == [str(each.language) for each in remedies_of(catalogue()[kind])]


@pytest.mark.parametrize("kind", sorted(catalogue()))
@pytest.mark.parametrize("name", NAMES)
def test_yaml_is_yaml(kind: str, name: str) -> None:
    """And says what it is to say: no more than the metadata options of a stack's resource."""
    for each in texts(kind, Language.CLOUDFORMATION, name):
        ((_, resource),) = yaml.safe_load(each.text)["Resources"].items()
        assert {"Type", "Properties"} == resource.keys()
        options = resource["Properties"].get("LaunchTemplateData", resource["Properties"])
        assert ["MetadataOptions"] == list(options)
        assert "required" == options["MetadataOptions"]["HttpTokens"]
    for each in texts(kind, Language.EKSCTL, name):
        document = yaml.safe_load(each.text)
        assert ("ClusterConfig", "blue") == (document["kind"], document["metadata"]["name"])
        assert [f"{name}-imdsv2"] == [group["name"] for group in document["managedNodeGroups"]]
        assert document["managedNodeGroups"][0]["disableIMDSv1"] is True
    for each in texts(kind, Language.BEANSTALK, name):
        namespace = "aws:autoscaling:launchconfiguration"
        assert {namespace: {"DisableIMDSv1": True}} == yaml.safe_load(each.text)["option_settings"]


@pytest.mark.parametrize("logical_id", ["WebTemplate8F1B", "Yes", "True", "A1"])
def test_a_logical_id_is_kept_as_it_is(logical_id: str) -> None:
    """Some are words of YAML."""
    tags = {**STACK, "aws:cloudformation:logical-id": logical_id}
    yml, python, typescript = remedies_of(with_template(template_tags=tags))
    assert [logical_id] == list(yaml.safe_load(yml.text)["Resources"])
    assert json.dumps(logical_id) in python.text
    assert json.dumps(logical_id) in typescript.text


@pytest.mark.parametrize("kind", sorted(catalogue()))
@pytest.mark.parametrize("name", NAMES)
def test_python_compiles(kind: str, name: str) -> None:
    """The override of each option, and nothing else."""
    for each in texts(kind, Language.CDK_PYTHON, name):
        calls = [node for node in ast.walk(ast.parse(each.text)) if isinstance(node, ast.Call)]
        overrides = [
            [ast.literal_eval(argument) for argument in call.args]
            for call in calls
            if isinstance(call.func, ast.Attribute) and call.func.attr == "add_property_override"
        ]
        assert {path.rpartition(".")[2]: value for path, value in overrides} | {"HttpTokens": "required"} == {
            path.rpartition(".")[2]: value for path, value in overrides
        }
        assert all("MetadataOptions." in path for path, _ in overrides)


@pytest.mark.parametrize("kind", sorted(catalogue()))
def test_typescript_says_the_same_as_python(kind: str) -> None:
    """The same paths and values."""
    for python, typescript in zip(texts(kind, Language.CDK_PYTHON), texts(kind, Language.CDK_TYPESCRIPT), strict=True):
        said = re.compile(r"(?:addPropertyOverride|add_property_override)\((.*)\)")
        assert said.findall(python.text) == said.findall(typescript.text)


@pytest.mark.parametrize("language", [Language.CDK_PYTHON, Language.CDK_TYPESCRIPT, Language.CLOUDFORMATION])
def test_a_single_instance_is_never_replaced(language: Language) -> None:
    """CloudFormation changes its options in place; what the CDK offers for it would replace it, and that is said."""
    (remedy,) = texts("instance of a stack", language)
    assert "AWS::EC2::Instance" in remedy.text or "MetadataOptions.HttpTokens" in remedy.text
    assert remedy.replaces is None
    assert "that replaces it" in remedy.says
    assert "LaunchTemplate" not in remedy.text


def test_an_ami_is_built_anew_by_packer() -> None:
    """Its name is kept."""
    packer, _ = remedies_of_image(found().images[OWN_IMAGE], "eu-central-1")
    assert 'imds_support = "v2.0"' in packer.text
    assert "base image's" in packer.text


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(TEXTS)
def test_a_yaml_scalar_is_read_as_it_was_written(text: str) -> None:
    """Whatever it is; characters that YAML does not take are escaped."""
    assert {"a": text} == yaml.safe_load(f"a: {quoting.yaml(text)}\n")


@given(TEXTS)
def test_a_remark_stays_on_its_line(text: str) -> None:
    """What follows a line break would be a command."""
    assert 1 >= len(quoting.remark(text).splitlines())


@given(TEXTS)
def test_an_identifier_is_one(text: str) -> None:
    """For Terraform and Packer."""
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", quoting.identifier(text))


@given(TEXTS)
def test_a_string_of_the_cdk_is_a_string(text: str) -> None:
    """In Python as in TypeScript, which reads JSON."""
    assert (text, text) == (ast.literal_eval(quoting.typescript(text)), json.loads(quoting.typescript(text)))


def everything() -> list[tuple[str, Any]]:
    """Every remedy of the catalogue, with its kind."""
    return [(kind, each) for kind, source in catalogue().items() for each in remedies_of(source)]


def test_no_remedy_gives_orders_that_it_does_not_explain() -> None:
    """An instance refresh, or a termination, is nothing that a text here does by itself."""
    for _, remedy in everything():
        assert not re.search(r"start-instance-refresh|terminate-instances|delete-", remedy.text)
