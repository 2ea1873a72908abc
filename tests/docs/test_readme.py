"""The README is accurate and complete: what it names exists, what exists is named, and its examples run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from imdsv2.domain.policy import Policy
from imdsv2.domain.request import Request
from imdsv2.domain.verdict import Reason
from imdsv2.people.request import Command, Steer, parse, parse_order
from imdsv2.sweep.order import parse_order as parse_sweep_order
from infra.names import Names

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]


def _table(header: str) -> dict[str, str]:
    """First column to second of the table that begins with this header row."""
    rows = README.split(header, 1)[1].splitlines()[2:]
    table = {}
    for row in rows:
        if not row.startswith("|"):
            break
        name, value = (cell.strip() for cell in row.split("|")[1:3])
        table[name.strip("`")] = value.strip("`")
    return table


def test_every_field_of_the_policy_is_documented_with_its_default() -> None:
    """The policy's table and the code agree, name by name and value by value."""
    documented = {name: json.loads(value) for name, value in _table("| field | default | meaning |").items()}
    assert Policy().to_document() == documented


def test_every_setting_of_the_stack_is_documented_with_its_default() -> None:
    """The settings' table and cdk.json agree; the policy has its own table."""
    documented = _table("| setting | default | meaning |")
    assert CONTEXT.keys() == documented.keys()
    defaults = {name: json.dumps(value) for name, value in CONTEXT.items() if name != "policy"}
    assert defaults == {name: value for name, value in documented.items() if name != "policy"}


def test_the_settings_start_with_the_policy_s_defaults() -> None:
    """A new deployment observes, with the same defaults that absent fields take."""
    assert Policy() == Policy.from_document(CONTEXT["policy"])


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained(reason: Reason) -> None:
    """The README explains every reason that a verdict can have."""
    assert f"`{reason}`" in README


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|\$ |\()make (?:-s )?([a-z][a-z0-9-]+)", README))))
def test_every_make_target_that_is_named_exists(target: str) -> None:
    """A command copied from the README works."""
    targets = {name for line in re.findall(r"^([a-z0-9 -]+):", MAKEFILE, re.MULTILINE) for name in line.split()}
    assert target in targets


def test_the_example_of_a_manual_invoke_is_one() -> None:
    """The document under "Ask by hand" is valid, and names the same instance in both forms."""
    [example] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    order = parse_order(json.loads(example))
    arns = {target.arn for target in order.targets if isinstance(target, Request)}
    assert (True, 2, 1) == (order.dry_run, len(order.targets), len(arns))


@pytest.mark.parametrize("payload", re.findall(r"--payload '(.*?)'", README))
def test_the_payload_of_an_example_invoke_is_one(payload: str) -> None:
    """The payloads on the command line are valid, too."""
    assert parse(json.loads(payload)).dry_run


def test_every_command_is_documented_and_its_example_is_one() -> None:
    """The table lists everything that people can control, in the form in which it is sent."""
    examples = [parse(json.loads(example)) for example in _table("| command | does |")]
    assert [(steer, True) for steer in Steer] == sorted(
        ((each.steer, each.dry_run) for each in examples if isinstance(each, Command)),
        key=lambda each: list(Steer).index(each[0]),
    )


def test_the_stacks_that_are_deployed_by_hand_exist() -> None:
    """Template file and stack have the names that the app gives them."""
    deployed = re.findall(r"--template-file cdk\.out/(\w+)\.template\.json --stack-name (\w+)", README)
    assert [(name, name) for name in (Names().roles_stack, Names().forwarding_stack)] == deployed


def test_the_example_of_a_sweep_is_one() -> None:
    """The input on the command line is valid and a dry run."""
    [order] = re.findall(r"--input '(.*?)'", README)
    assert parse_sweep_order(json.loads(order)).dry_run


def test_the_example_of_a_policy_is_one() -> None:
    """The example value of the parameter is a valid policy."""
    [document] = re.findall(r"--value '(.*?)'", README)
    assert Policy.from_json(document).lookback_days == 60


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)h][^)]*)\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    """Links within the repository resolve."""
    assert (ROOT / link).exists()


def test_every_top_level_folder_is_in_the_map() -> None:
    """The map under "Develop" shows a newcomer where things are."""
    for folder in ("lambdas", "infra", "local", "tests"):
        assert f"{folder}/ " in README
