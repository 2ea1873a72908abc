"""The gate of docs/gate for Terraform, run by Terraform itself where it is installed; nothing of it needs a provider, or a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from imdsv2.source.remedy import Language
from tests.infra.test_gate import GATE, PAGE, denied
from tests.infra.test_remedies import remedies

if TYPE_CHECKING:
    from pathlib import Path

needs_terraform = pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not installed")


def terraform(directory: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run Terraform there; nothing of these tests needs a provider, so that nothing needs a network."""
    command = ["terraform", f"-chdir={directory}", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


@needs_terraform
def test_terraform_refuses_a_caller_who_allows_imdsv1(tmp_path: Path) -> None:
    """The declaration needs no provider, so that a plan needs no network."""
    shutil.copy(GATE / "metadata_options.tf", tmp_path)

    def plan(options: str) -> subprocess.CompletedProcess[str]:
        given = ["-var", f"metadata_options={options}"]
        return terraform(tmp_path, "plan", "-no-color", "-input=false", "-lock=false", *given)

    for good in ("{}", '{http_tokens="required"}', "{http_put_response_hop_limit=2}"):
        assert 0 == plan(good).returncode, good
    for bad in ('{http_tokens="optional"}', '{http_tokens="Required"}', "{http_put_response_hop_limit=3}"):
        run = plan(bad)
        assert 1 == run.returncode
        assert "IMDSv1" in run.stderr or "hops" in run.stderr


@needs_terraform
def test_terraform_refuses_a_caller_of_a_module(tmp_path: Path) -> None:
    """As teams use it: the module declares the variable beside what the page says, and a plan of a caller that passes has the options."""
    module = tmp_path / "instance"
    module.mkdir()
    shutil.copy(GATE / "metadata_options.tf", module)
    (block,) = re.findall(r"```hcl\nmetadata_options \{\n(.*?)\}\n```", PAGE, re.DOTALL)
    (module / "main.tf").write_text(f'resource "terraform_data" "launched" {{\n  input = {{\n{block}  }}\n}}\n')
    main = tmp_path / "main.tf"

    def plan(options: str) -> subprocess.CompletedProcess[str]:
        main.write_text(f'module "shop" {{\n  source           = "./instance"\n  metadata_options = {options}\n}}\n')
        return terraform(tmp_path, "plan", "-no-color", "-input=false", "-lock=false", "-out=plan")

    main.write_text('module "shop" {\n  source = "./instance"\n}\n')
    assert 0 == terraform(tmp_path, "init", "-no-color", "-input=false").returncode
    assert 0 == plan("{ http_put_response_hop_limit = 2 }").returncode
    shown = json.loads(terraform(tmp_path, "show", "-json", "plan").stdout)
    (change,) = shown["resource_changes"]
    options = {"http_tokens": "required", "http_endpoint": "enabled", "http_put_response_hop_limit": 2}
    assert options == change["change"]["after"]["input"]
    assert [[]] == denied([shown])
    refused = plan('{ http_tokens = "optional" }')
    assert (1, True) == (refused.returncode, "IMDSv1" in refused.stderr)


@needs_terraform
def test_terraform_reads_every_remedy(tmp_path: Path) -> None:
    """With its own parser, which knows no provider; the gate's file is as `terraform fmt` writes it."""
    texts = [each.text for each in remedies(Language.TERRAFORM)]
    assert len(texts) >= 10
    for number, text in enumerate(texts):
        (tmp_path / f"remedy{number}.tf").write_text(text)
    assert 0 == terraform(tmp_path, "fmt", "-no-color").returncode
    assert 0 != terraform(tmp_path, "fmt", "-", stdin=f"{texts[0]}}}").returncode
    assert 0 == terraform(GATE, "fmt", "-check", "-diff").returncode
