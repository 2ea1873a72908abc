"""The reference is accurate and complete: what it names exists, what exists is named, and its examples are taken."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.policy import Policy
from imdsv2.domain.request import Request
from imdsv2.domain.verdict import Reason
from imdsv2.people.command_request import Command, CommandKind
from imdsv2.people.request import parse, parse_order
from imdsv2.sweep.order import parse_order as parse_sweep_order
from infra.names import Names
from tests.docs.pages import DOCS, REFERENCE, ROOT, table

if TYPE_CHECKING:
    from typing import Any

CONTEXT: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
SETTINGS, POLICY, VERDICTS, COMMANDS = (
    (REFERENCE / f"{name}.md").read_text() for name in ("settings", "policy", "verdicts", "commands")
)
INSTALL, SWEEP = (DOCS / "install.md").read_text(), (DOCS / "sweep.md").read_text()


def test_every_field_of_the_policy_is_documented_with_its_default() -> None:
    """The policy's table and the code agree, name by name and value by value."""
    documented = {name: json.loads(value) for name, value in table(POLICY, "| field | default | meaning |").items()}
    assert Policy().to_document() == documented


def test_every_setting_of_the_stack_is_documented_with_its_default() -> None:
    """The settings' table and cdk.json agree; the policy has its own table."""
    documented = table(SETTINGS, "| setting | default | meaning |")
    assert CONTEXT.keys() == documented.keys()
    defaults = {name: json.dumps(value) for name, value in CONTEXT.items() if name != "policy"}
    assert defaults == {name: value for name, value in documented.items() if name != "policy"}


def test_every_output_of_the_stack_is_explained() -> None:
    """And no other."""
    template = json.loads((ROOT / "tests/infra/kept/assembly.Imdsv2Remediation.json").read_text())
    assert template["Outputs"].keys() == table(SETTINGS, "| output | what it is |").keys()


def test_the_settings_start_with_the_policy_s_defaults() -> None:
    """A new deployment observes, with the same defaults that absent fields take."""
    assert Policy() == Policy.from_document(CONTEXT["policy"])


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained(reason: Reason) -> None:
    """In a row of the table, with what to do."""
    rows = [line for line in VERDICTS.splitlines() if line.startswith("| ")]
    assert [row for row in rows if f"`{reason}`" in row.split("|")[2]]


def test_the_example_of_a_manual_invoke_is_one() -> None:
    """The first document is valid, and names the same instance in both forms."""
    [example] = re.findall(r"```json\n(.*?)```", COMMANDS, re.DOTALL)
    order = parse_order(json.loads(example))
    arns = {target.arn for target in order.targets if isinstance(target, Request)}
    assert (True, 2, 1) == (order.dry_run, len(order.targets), len(arns))


def test_every_command_is_documented_and_its_example_is_one() -> None:
    """The table lists everything that people can control, in the form in which it is sent."""
    examples = [parse(json.loads(example)) for example in table(COMMANDS, "| command | does |")]
    assert [(steer, True) for steer in CommandKind] == sorted(
        ((each.kind, each.dry_run) for each in examples if isinstance(each, Command)),
        key=lambda each: list(CommandKind).index(each[0]),
    )


def test_the_stacks_that_are_deployed_by_hand_exist() -> None:
    """Template file and stack have the names that the app gives them."""
    deployed = re.findall(r"--template-file cdk\.out/(\w+)\.template\.json --stack-name (\w+)", INSTALL)
    assert [(name, name) for name in (Names().roles_stack, Names().forwarding_stack)] == deployed


def test_the_example_of_a_sweep_is_one() -> None:
    """The input on the command line is valid and a dry run."""
    [order] = re.findall(r"--input '(.*?)'", SWEEP)
    assert parse_sweep_order(json.loads(order)).dry_run


def test_the_example_of_a_policy_is_one() -> None:
    """The example value of the parameter is a valid policy."""
    [document] = re.findall(r"--value '(.*?)'", POLICY)
    assert Policy.from_json(document).lookback_days == 60
