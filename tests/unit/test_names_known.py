"""The code knows no physical name: functions learn names from their environment, or two installations could not live in one
account."""

from __future__ import annotations

import ast

from tests.unit.test_layers import EVERYWHERE

PRODUCT = "imdsv2-remediation"
INTRODUCTION = f"The service {PRODUCT} requires IMDSv2"
"""How messages tell readers who have never heard of it what the service is."""
ALLOWED = {
    # What Security Hub shows as the author of a note, and CloudTrail as the user agent: the product, not a resource.
    ("aws.security_hub", PRODUCT),
    ("aws.sessions", PRODUCT),
    # Who made a version of a launch template, as its description says.
    ("domain.source_fix", PRODUCT),
    # Who watches an instance, as Systems Manager shows beside the command.
    ("people.culprit.capture", f"{PRODUCT} for "),
    # Who a command of the self-test says that it is.
    ("selftest.deeds", f"{PRODUCT}-selftest"),
    # The tag of the version is how the product's own parts are told from others, whatever their names.
    ("version", f"{PRODUCT}:version"),
    ("first_policy", f"Policy of {PRODUCT} (JSON); a change is live within a minute"),
}


def texts(tree: ast.Module) -> set[str]:
    """Every text in a module that is not a docstring."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    }


def test_no_name_is_written_down() -> None:
    """Neither a role nor a function, parameter, bus or custom action."""
    found = {(module, text) for module, tree in EVERYWHERE.items() for text in texts(tree)}
    bare = {(module, text) for module, text in found if not text.startswith(INTRODUCTION)}
    named = {(module, text) for module, text in bare if PRODUCT in text or "RequireIMDSv2" in text}
    assert ALLOWED == named
