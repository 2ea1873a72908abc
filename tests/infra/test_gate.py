"""The gate for CI in docs/gate: remedies that we hand out pass every judge, and the same with IMDSv1 allowed fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.source.remedy import Language
from tests.infra.templates import ROOT
from tests.infra.test_remedies import OBSOLETE, PARSE, merged, remedies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = dict[str, Any]

GATE = ROOT / "docs" / "gate"
PAGE = (ROOT / "docs" / "gate.md").read_text()
JUDGES = ROOT / ".venv-judges" / "bin"
EVALUATE = """
import json, sys, regopy
rego = regopy.Interpreter()
rego.add_module("imdsv2", open(sys.argv[1]).read())
denied = []
for document in json.load(sys.stdin):
    rego.set_input(document)
    denied.append(json.loads(str(rego.query("data.main.deny")))["expressions"][0])
print(json.dumps(denied))
"""
TOKENS, ENDPOINT = "HttpTokens", "HttpEndpoint"


def denied(documents: list[Json]) -> list[list[str]]:
    """What the policy in Rego says of each document."""
    run = subprocess.run(
        [str(JUDGES / "python"), "-c", EVALUATE, str(GATE / "imdsv2.rego")],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[list[str]] = json.loads(run.stdout)
    return found


def options_in(document: Any) -> Iterator[Json]:
    """Every set of metadata options in a template."""
    if isinstance(document, dict):
        if isinstance(document.get("MetadataOptions"), dict):
            yield document["MetadataOptions"]
        for each in document.values():
            yield from options_in(each)


def spoilt(document: Json, how: Callable[[Json], Any]) -> Json:
    """A copy whose metadata options have been changed."""
    copy: Json = json.loads(json.dumps(document))
    for options in options_in(copy):
        how(options)
    return copy


def open_(options: Json) -> None:
    """Tokens are optional."""
    options[TOKENS] = "optional"


def silent(options: Json) -> None:
    """Nothing is said of tokens."""
    del options[TOKENS]


TEMPLATES = [merged(each) for each in remedies(Language.CLOUDFORMATION)]
KIND = "AWS::EC2::Instance"


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """File to the ids of cfn-lint's findings, with the rules of the gate; one run for all files, because each takes seconds."""
    directory = tmp_path_factory.mktemp("lint")
    for number, document in enumerate(TEMPLATES):
        copies = {"good": document, "open": spoilt(document, open_), "silent": spoilt(document, silent)}
        for kind, copy in copies.items():
            (directory / f"{kind}{number}.json").write_text(json.dumps(copy))
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--custom-rules", str(GATE / "cfn-lint.rules")]
    files = [str(each) for each in sorted(directory.iterdir())]
    run = subprocess.run(
        [*command, "--template", *files, "--ignore-checks", OBSOLETE, "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == run.stderr
    found: dict[str, set[str]] = {Path(each).name: set() for each in files}
    for each in json.loads(run.stdout):
        found[Path(each["Filename"]).name].add(each["Rule"]["Id"])
    return found


@pytest.mark.parametrize("number", range(len(TEMPLATES)))
def test_cfn_lint_passes_a_remedy_and_refuses_it_opened(number: int, linted: dict[str, set[str]]) -> None:
    """An instance that says nothing may have a launch template."""
    may_be_silent = {each["Type"] for each in TEMPLATES[number]["Resources"].values()} == {KIND}
    assert set() == linted[f"good{number}.json"]
    for kind, passes in (("open", False), ("silent", may_be_silent)):
        found = linted[f"{kind}{number}.json"]
        assert passes == (not found)
        assert all(each.startswith("E9") for each in found)


def test_rego_passes_remedies_of_cloudformation_and_refuses_them_opened() -> None:
    """Each denial names the resource and what to set."""
    assert len(TEMPLATES) >= 6
    assert [[]] * len(TEMPLATES) == denied(TEMPLATES)
    for how in (open_, silent):
        told = denied([spoilt(each, how) for each in TEMPLATES])
        for document, sentences in zip(TEMPLATES, told, strict=True):
            (name,) = document["Resources"]
            assert 1 == len(sentences)
            assert name in sentences[0]
            assert "to required" in sentences[0]


def test_rego_counts_what_is_computed_as_open_and_leaves_the_rest_alone() -> None:
    """A parameter may hold anything; an instance with a launch template has its options; a bucket has none."""
    data = {"ImageId": "ami-0b2b2b2b2b2b2b2b2"}

    def resource(kind: str, **properties: Any) -> Json:
        return {"Resources": {"It": {"Type": kind, "Properties": properties}}}

    told = denied(
        [
            resource(
                "AWS::EC2::LaunchTemplate", LaunchTemplateData={**data, "MetadataOptions": {TOKENS: {"Ref": "P"}}}
            ),
            {"Resources": {"It": {"Type": KIND}}},
            resource(KIND, LaunchTemplate={"LaunchTemplateId": "lt-0c3c3c3c3c3c3c3c3", "Version": "1"}),
            resource(KIND, LaunchTemplate={"Version": "1"}, MetadataOptions={TOKENS: "optional"}),
            resource("AWS::S3::Bucket"),
            {},
        ]
    )
    assert [1, 1, 0, 1, 0, 0] == [len(each) for each in told]


def planned(block: Json) -> Json:
    """A resource of Terraform as a plan has it: a nested block is a list, and its text is without quotes."""
    ((kind, named),) = block["resource"][0].items()
    ((name, body),) = named.items()
    after = {
        key: [{inner: _plain(value) for inner, value in each.items() if not inner.startswith("__")} for each in several]
        for key, several in body.items()
        if isinstance(several, list) and several and isinstance(several[0], dict)
    }
    kind, name = _plain(kind), _plain(name)
    change = {"actions": ["create"], "after": after}
    return {"resource_changes": [{"address": f"{kind}.{name}", "type": kind, "name": name, "change": change}]}


def _plain(value: Any) -> Any:
    (value,) = value if isinstance(value, list) else (value,)
    return value.strip('"') if isinstance(value, str) else value


@pytest.fixture(scope="module")
def plans() -> list[Json]:
    """The remedies of Terraform, each as a plan."""
    run = subprocess.run(
        [str(JUDGES / "python"), "-c", PARSE],
        input=json.dumps([each.text for each in remedies(Language.TERRAFORM)]),
        capture_output=True,
        text=True,
        check=True,
    )
    return [planned(each) for each in json.loads(run.stdout)]


def test_rego_passes_remedies_of_terraform_and_refuses_them_opened(plans: list[Json]) -> None:
    """Also where the block is missing, which a plan says as nothing or as an empty list."""
    assert len(plans) >= 10
    assert [[]] * len(plans) == denied(plans)
    text = json.dumps(plans)
    assert '"required"' in text
    without = json.loads(text)
    for plan in without:
        plan["resource_changes"][0]["change"]["after"].pop("metadata_options")
    empty = json.loads(text)
    for plan in empty:
        plan["resource_changes"][0]["change"]["after"]["metadata_options"] = []
    for bad in (json.loads(text.replace('"required"', '"optional"')), without, empty):
        for plan, sentences in zip(bad, denied(bad), strict=True):
            assert [plan["resource_changes"][0]["address"]] == [each.split()[0] for each in sentences]


def test_rego_leaves_what_ends_and_what_has_a_template() -> None:
    """A plan that destroys an instance launches nothing."""

    def plan(**change: Any) -> Json:
        return {"resource_changes": [{"address": "aws_instance.web", "type": "aws_instance", "change": change}]}

    template = [{"id": "lt-0c3c3c3c3c3c3c3c3", "version": "$Default"}]
    told = denied(
        [
            plan(actions=["delete"], after=None),
            plan(actions=["create"], after={"launch_template": template}),
            plan(
                actions=["create"],
                after={"launch_template": template, "metadata_options": [{"http_tokens": "optional"}]},
            ),
            plan(actions=["create"], after={"launch_template": []}),
        ]
    )
    assert [0, 0, 1, 1] == [len(each) for each in told]


def test_rego_judges_node_classes_of_karpenter() -> None:
    """Patched with the remedy; without a word, Karpenter requires tokens itself."""
    patches = [
        json.loads(re.findall(r"--patch '(\{.*\})'", each.text.replace("'\\''", ""))[0])
        for each in remedies(Language.KARPENTER)
    ]
    assert patches
    frame = {"apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": {"name": "shop"}}
    good = [{**frame, **each} for each in patches]
    bad = json.loads(json.dumps(good).replace('"required"', '"optional"'))
    assert [[]] * len(good) == denied(good)
    assert [1] * len(bad) == [len(each) for each in denied(bad)]
    assert [[]] == denied([{**frame, "spec": {}}])


def test_checkov_is_run_as_the_page_says(tmp_path: Path) -> None:
    """One run over launch templates that pass and launch templates that fail."""
    [command] = re.findall(r"^\$ checkov (.*)$", PAGE, re.MULTILINE)
    document = next(each for each in TEMPLATES if "AWS::EC2::LaunchTemplate" in json.dumps(each))
    for name, each in {"good": document, "open": spoilt(document, open_), "silent": spoilt(document, silent)}.items():
        (tmp_path / f"{name}.template.json").write_text(json.dumps(each))
    asked = [str(JUDGES / "checkov"), *command.split(), "--skip-download", "--output", "json"]
    run = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 1 == run.returncode
    failed = {each["file_path"] for each in json.loads(run.stdout)["results"]["failed_checks"]}
    assert {"/open.template.json", "/silent.template.json"} == failed


def test_the_page_names_every_file() -> None:
    """And no other."""
    named = set(re.findall(r"gate/([\w.-]+\.\w+)", PAGE))
    assert {each.name for each in GATE.iterdir()} == named
