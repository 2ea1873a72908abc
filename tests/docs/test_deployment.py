"""docs/deployment.md names what exists: settings, outputs, alarms, logical ids, commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.names import Names
from infra.setting_checks import FEWEST_BATCHES_AT_ONCE, MOST_MEMBER_ACCOUNTS
from infra.settings import Settings
from tests.docs.pages import all_pages

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text()
PAGES = all_pages()
CONTEXT: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
KEPT: dict[str, Any] = json.loads((ROOT / "tests/infra/kept/assembly.Imdsv2Remediation.json").read_text())
ALARMS = (ROOT / "infra" / "alarms.py").read_text()


@pytest.mark.parametrize("deploy", re.findall(r"^\$ npx cdk deploy (-c .*)$", PAGE, re.MULTILINE))
def test_a_deployment_with_settings_is_accepted(deploy: str) -> None:
    """As it stands on the command line."""
    given = dict(re.findall(r"-c (\w+)=('[^']*'|\S+)", deploy))
    assert given
    Settings.from_context({**CONTEXT, **{name: value.strip("'") for name, value in given.items()}})


def test_a_pilot_is_called_as_the_page_says() -> None:
    """Its stack and its parameter."""
    pilot = Names(prefix="imdsv2-pilot")
    assert f"`{pilot.service_stack}`" in PAGE
    assert f"`{pilot.policy_parameter}`" in PAGE


def test_what_is_taken_over_has_the_logical_ids_of_the_stack() -> None:
    """A resource that the template does not have cannot be imported."""
    [mapping] = re.findall(r"<<'JSON'\n(.*?)\nJSON", PAGE, re.DOTALL)
    kinds = {name: KEPT["Resources"][name]["Type"] for name in json.loads(mapping)}
    assert {"AWS::DynamoDB::Table", "AWS::KMS::Key"} == set(kinds.values())
    assert all("Retain" in KEPT["Resources"][name]["DeletionPolicy"] for name in kinds)


def test_few_executions_have_settings_that_are_taken() -> None:
    """The table's values, which are the least."""
    rows = dict(re.findall(r"^\| `(\w+_concurrency)` \| `(\d+)` \|", PAGE, re.MULTILINE))
    assert {"sweep_concurrency", "remediate_concurrency"} == set(rows)
    Settings.from_context({**CONTEXT, **{name: int(value) for name, value in rows.items()}})
    assert str(FEWEST_BATCHES_AT_ONCE) == rows["remediate_concurrency"]
    assert f"`member_accounts`, up to {MOST_MEMBER_ACCOUNTS}" in PAGE


@pytest.mark.parametrize(
    "alarm", ["throttled", "revisit-silent", "guard-silent", "findings-elsewhere", "policy-refused"]
)
def test_alarms_that_are_named_exist(alarm: str) -> None:
    """By the name that people see."""
    assert f"`{alarm}`" in PAGE
    assert f'"{alarm}"' in ALARMS


@pytest.mark.parametrize("page", sorted(PAGES))
def test_invocations_wait_for_their_answer(page: str) -> None:
    """The command line gives up after a minute, and invokes again: the run would happen up to three times."""
    invocations = re.findall(r"aws lambda invoke --.*", PAGES[page])
    if page in ("docs/install.md", "docs/operations.md"):
        assert invocations
    assert [] == [each for each in invocations if "--cli-read-timeout 0" not in each]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_messages_are_moved_to_a_named_queue(page: str) -> None:
    """Without a destination, SQS refuses what it did not move there itself; both ARNs are outputs."""
    moves = re.findall(r"aws sqs start-message-move-task .*", PAGES[page])
    assert all('--destination-arn "$FINDINGS_QUEUE_ARN"' in each for each in moves)
    if moves:
        outputs = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() for name in KEPT["Outputs"]}
        assert {"FINDINGS_QUEUE_ARN", "FINDINGS_DEAD_LETTER_QUEUE_ARN"} <= outputs


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_command_line_of_the_cdk_is_installed_before_it_is_used(page: str) -> None:
    """Otherwise npx takes the newest, which may reject the templates."""
    blocks = re.findall(r"```console\n(.*?)```", PAGES[page], re.DOTALL)
    [first, *_] = [each for each in blocks if "npx cdk bootstrap" in each] or ["npm ci npx cdk"]
    assert first.index("npm ci") < first.index("npx cdk")
