"""Layers: which package may import which, and which may use AWS, the clock and the environment. The tests enforce the
design."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LAMBDAS = Path(__file__).parents[2] / "lambdas"

MAY_IMPORT: dict[str, set[str]] = {
    "domain": set(),
    "source": {"domain"},
    "culprit": {"domain"},
    "aws": {"domain", "source", "culprit"},
    "ledger": {"domain", "aws"},
    "line": {"domain", "source", "aws", "ledger"},
    "fix": {"domain", "source", "aws", "ledger"},
    "intake": {"domain", "aws", "ledger", "line"},
    "revisit": {"domain", "aws", "ledger", "line"},
    "guard": {"domain", "aws", "ledger", "line", "fix"},
    "people": {"domain", "source", "culprit", "aws", "ledger", "line", "guard", "fix"},
    "sweep": {"domain", "source", "aws", "ledger", "line"},
    "selftest": {"domain", "aws"},
    "wiring": {
        *("domain", "aws", "ledger", "line", "fix", "settings"),
        *("intake", "revisit", "guard", "people", "sweep"),
    },
}
"""The packages of the service, each with the packages it may import. All may import `errors` and `version`."""


def _name(path: Path) -> str:
    """The module's name within the package: `domain.verdict`."""
    return ".".join(path.relative_to(LAMBDAS / "imdsv2").with_suffix("").parts).removesuffix(".__init__")


MODULES = {_name(path): ast.parse(path.read_text()) for path in sorted((LAMBDAS / "imdsv2").rglob("*.py"))}
HANDLERS = {path.stem: ast.parse(path.read_text()) for path in sorted(LAMBDAS.glob("*.py"))}
EVERYWHERE = MODULES | HANDLERS
DOMAIN = sorted(name for name in MODULES if name.startswith(("domain.", "source.", "culprit.")))

PURE = [
    *DOMAIN,
    "errors",
    "intake.events",
    "intake.source_events",
    "people.command_request",
    "people.request",
    "selftest.beliefs",
    "selftest.report",
    "selftest.script",
]
"""Packages that work without AWS."""
STANDARD = {
    *(
        "__future__",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "math",
        "operator",
    ),
    *("re", "shlex", "types", "typing"),
}
"""The part of the standard library that a pure function may import; none of it reaches outside the process."""
KNOWS_CLOCK_AND_ENVIRONMENT = {"wiring.function", "wiring.check", *HANDLERS}
"""The modules that read the clock and the environment."""

AWS = {"boto3", "botocore", "aws_lambda_powertools", "aws_xray_sdk", "urllib3"}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime"}
CLOCK_OWNERS = {"datetime", "date", "time"}


def names_called(tree: ast.Module) -> set[str]:
    """Every `owner.attribute` that a module refers to."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def imports(tree: ast.Module, *, with_types: bool = False) -> set[str]:
    """Every module that a module imports at run time, by full name; optionally including type-checking imports."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if not with_types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return found


def closure(module: str) -> set[str]:
    """A module of the package and everything in the package that it imports."""
    known: set[str] = set()
    waiting = {module}
    while waiting:
        known |= waiting
        waiting = {
            name.removeprefix("imdsv2.") for each in waiting for name in imports(MODULES[each])
        } & MODULES.keys() - known
    return known


def reads_clock(tree: ast.Module) -> set[str]:
    """The expressions with which a module reads the clock."""
    return {f"{owner}.{clock}" for owner in CLOCK_OWNERS for clock in CLOCKS} & names_called(tree)


def reads_environment(tree: ast.Module) -> set[str]:
    """The expressions with which a module reads its environment."""
    return {"os.environ", "os.environb", "os.getenv"} & names_called(tree)


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_load_without_aws(module: str) -> None:
    """Importing one of them in a fresh interpreter loads nothing of AWS's SDK."""
    code = f"import sys, imdsv2.{module}; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=LAMBDAS, check=True, capture_output=True, text=True
    ).stdout.split()
    assert f"imdsv2.{module}" in loaded
    assert set() == {name.partition(".")[0] for name in loaded} & AWS


@pytest.mark.parametrize("module", DOMAIN)
def test_what_decides_is_pure(module: str) -> None:
    """Values in, a verdict out, without reading anything else: neither these modules nor their dependencies."""
    for each in closure(module):
        outside = {name.partition(".")[0] for name in imports(MODULES[each])} - {"imdsv2"}
        assert outside <= STANDARD
        assert set() == reads_clock(MODULES[each]) | reads_environment(MODULES[each])
        assert set() == {"open", "print", "input", "__import__", "eval", "exec"} & {
            node.func.id
            for node in ast.walk(MODULES[each])
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }


@pytest.mark.parametrize("module", sorted(name for name in MODULES if "." in name))
def test_a_package_knows_only_those_below_it(module: str) -> None:
    """Type-checking imports count too."""
    package = module.partition(".")[0]
    known = {name.split(".")[1] for name in imports(MODULES[module], with_types=True) if name.startswith("imdsv2.")}
    assert known <= MAY_IMPORT[package] | {package, "errors", "version"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_package_says_what_it_is_for(package: str) -> None:
    """A docstring and nothing else: what a package offers is imported from its modules."""
    [only] = MODULES[package].body
    assert isinstance(only, ast.Expr)
    assert 20 < len(ast.get_docstring(MODULES[package]) or "") <= 120


@pytest.mark.parametrize("module", sorted(EVERYWHERE.keys() - KNOWS_CLOCK_AND_ENVIRONMENT))
def test_only_the_edge_reads_the_clock_and_the_environment(module: str) -> None:
    """All other modules get the time and the settings as arguments."""
    assert set() == reads_clock(EVERYWHERE[module]) | reads_environment(EVERYWHERE[module])


@pytest.mark.parametrize("module", MODULES)
def test_the_service_does_not_know_its_handlers(module: str) -> None:
    """The package imports itself, the standard library and AWS; handlers import it, never the other way round."""
    assert set() == {name.partition(".")[0] for name in imports(MODULES[module])} & HANDLERS.keys()


@pytest.mark.parametrize("module", sorted(each for each in MODULES if each.partition(".")[0] != "wiring"))
def test_only_the_wiring_puts_the_service_together(module: str) -> None:
    """No other module imports it."""
    assert not any(each.startswith("imdsv2.wiring") for each in imports(MODULES[module], with_types=True))


def test_nobody_imports_in_a_circle() -> None:
    """Imports go one way."""
    for module in MODULES:
        others = {name.removeprefix("imdsv2.") for name in imports(MODULES[module])} & MODULES.keys() - {module}
        assert all(module not in closure(other) for other in others), module


@pytest.mark.parametrize("module", EVERYWHERE)
def test_every_failure_has_its_class_in_one_place(module: str) -> None:
    """`errors.py` lists what can go wrong, and what to do."""
    if module == "errors":
        return
    classes = [node for node in ast.walk(EVERYWHERE[module]) if isinstance(node, ast.ClassDef)]
    bases = {ast.unparse(base) for each in classes for base in each.bases}
    assert not any(base.endswith(("Error", "Exception", "Refused", "Poisoned")) for base in bases)


def test_the_check_sees_what_it_forbids() -> None:
    """A test that asserts absence needs a proof that it can detect presence."""
    tree = ast.parse(
        "import os, time\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import boto3\nelse:\n    import json\n"
        "def f():\n    import urllib3\n    return os.environ, time.time(), datetime.now(UTC), time.sleep(1)\n"
    )
    run = {"os", "time", "typing", "typing.TYPE_CHECKING", "json", "urllib3"}
    assert run == imports(tree)
    assert run | {"boto3"} == imports(tree, with_types=True)
    assert {"time.time", "datetime.now"} == reads_clock(tree)
    assert {"os.environ"} == reads_environment(tree)
