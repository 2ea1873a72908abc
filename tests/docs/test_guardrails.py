"""docs/guardrails.md names every guardrail, field and policy as they are, and its example is one."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from infra.guardrails.options import GuardrailOptions
from infra.guardrails.policies import Guardrail
from infra.names import Names

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "guardrails.md").read_text()


@pytest.mark.parametrize("guardrail", list(Guardrail))
def test_every_guardrail_has_its_row(guardrail: Guardrail) -> None:
    """With the kind of its policy, and its place in the order of the roll-out."""
    [kind, *_] = re.findall(rf"^\| `{guardrail}` \| (.*?) \|", PAGE, re.MULTILINE)
    assert ("declarative" in kind) == (guardrail.kind == "DECLARATIVE_POLICY_EC2")
    assert re.search(rf"^\d\. \*\*`{guardrail}`\*\*", PAGE, re.MULTILINE)


def test_every_field_is_documented_with_its_default() -> None:
    """The self-test's exception follows its own setting."""
    documented = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", PAGE, re.MULTILINE))
    options = GuardrailOptions()
    taken = [each.name for each in fields(options) if each.name not in ("targets", "selftest")]
    assert {name: json.dumps(getattr(options, name)) for name in taken} == documented


def test_the_example_is_a_setting() -> None:
    """As it stands."""
    [example] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    given = GuardrailOptions.from_setting("guardrails", json.loads(example))
    assert {Guardrail.LAUNCHES, Guardrail.OPENINGS, Guardrail.DEFAULTS} == given.targets.keys()


def test_stack_and_policies_have_the_names_that_the_page_says() -> None:
    """Commands copied from it find them."""
    names = Names()
    assert f"--stack-name {names.guardrail_stack}\n" in PAGE
    assert f"'{names.of('guardrail-')}'" in PAGE
