"""mypy reads a part of the CDK only, for speed; that part has everything the checks depend on."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.infra.templates import ROOT

OVERRIDES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
[READ] = [set(each["module"]) for each in OVERRIDES if each["follow_imports"] == "normal"]
CLASS = re.compile(r"^class \w+\(\n((?:    .+\n)+?)\)", re.MULTILINE)


def _source(module: str) -> str:
    """The text of a module of the CDK, without importing it."""
    [root] = find_spec("aws_cdk").submodule_search_locations  # type: ignore[misc, union-attr]
    return Path(root, *module.split(".")[1:], "__init__.py").read_text()


def _imported() -> set[str]:
    """Every module of the CDK that the repository imports."""
    found: set[str] = set()
    for path in [ROOT / "app.py", *(ROOT / "infra").rglob("*.py"), *(ROOT / "tests" / "infra").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aws_cdk"):
                found |= {str(node.module)}
                found |= {f"{node.module}.{each.name}" for each in node.names if each.name.startswith("aws_")}
            elif isinstance(node, ast.Import):
                found |= {each.name for each in node.names if each.name.startswith("aws_cdk")}
    return found


def test_every_imported_module_is_read() -> None:
    """A module that mypy skips has no types, and any use of it would pass."""
    imported = _imported()
    assert "aws_cdk.aws_lambda" in imported
    assert set() == imported - READ


@pytest.mark.parametrize("module", sorted(READ))
def test_every_base_class_is_read(module: str) -> None:
    """A class with a base that mypy skips seems to have every attribute."""
    source = _source(module)
    names = {alias: name for name, alias in re.findall(r"import (aws_cdk[\w.]*) as (\w+)", source)}
    bases = {base for body in CLASS.findall(source) for base in re.findall(r"^    (\w+)\.\w+,$", body, re.MULTILINE)}
    assert set() == {names[base] for base in bases & names.keys()} - READ
