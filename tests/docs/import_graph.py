"""The functions' modules with what they import, as a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.test_layers import HANDLERS, MAY_IMPORT, MODULES, imports

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    Graph = Mapping[str, AbstractSet[str]]
    """Each module by name (`line.run`, `handlers.remediate`) with the modules and AWS services that it imports."""

LAYERS = ("handlers", *reversed(MAY_IMPORT))
"""Packages from the top down: imports lead downwards only."""
SERVICES = {
    "cloudwatch": "CloudWatch",
    "dynamodb": "DynamoDB",
    "ec2": "EC2",
    "securityhub": "Security Hub",
    "sns": "SNS",
    "sqs": "SQS",
    "ssm": "SSM",
}
"""AWS services by the name of the package that types their client. A module that imports it has or gets the client."""


def package_of(module: str) -> str:
    """The package of a module; single modules and AWS services stand for themselves."""
    return module.partition(".")[0]


def import_graph() -> dict[str, set[str]]:
    """Every module of the functions, with what it imports at run time or as types."""
    packages = {"__init__", *(name.rpartition(".")[0] for name in MODULES)}
    trees = {name: tree for name, tree in MODULES.items() if name not in packages}
    graph = {name: _known(imports(tree, with_types=True), trees) for name, tree in trees.items()}
    return graph | {
        f"handlers.{name}": _known(imports(tree, with_types=True), trees) for name, tree in HANDLERS.items()
    }


def _known(imported: Iterable[str], trees: Mapping[str, ast.Module]) -> set[str]:
    names = {name.removeprefix("imdsv2.") for name in imported if name.startswith("imdsv2.")}
    services = {
        SERVICES.get(name.split(".")[0].removeprefix("mypy_boto3_"))
        for name in imported
        if name.startswith("mypy_boto3_")
    }
    return (names & trees.keys()) | {each for each in services if each is not None}


def upwards(graph: Graph) -> list[tuple[str, str]]:
    """Imports that lead up from one package to another."""
    rank = {package: number for number, package in enumerate(LAYERS)}
    return sorted(
        (module, imported)
        for module, several in graph.items()
        for imported in several
        if rank.get(package_of(imported), len(rank)) < rank.get(package_of(module), -1)
    )


def grouped(graph: Graph, name_of: Callable[[str], str]) -> dict[str, set[str]]:
    """The same graph between groups of modules; a group's own imports are left out."""
    result: dict[str, set[str]] = {name_of(module): set() for module in graph}
    for module, several in graph.items():
        result[name_of(module)] |= {name_of(each) for each in several} - {name_of(module)}
    return result


def reduced(graph: Graph) -> dict[str, set[str]]:
    """The graph without the arrows that follow from others. It must not have circles."""
    return {
        node: {
            each for each in targets if not any(each in _reached(graph, other) for other in targets if other != each)
        }
        for node, targets in graph.items()
    }


def _reached(graph: Graph, node: str) -> set[str]:
    found: set[str] = set()
    waiting = set(graph.get(node, ()))
    while waiting:
        found |= waiting
        waiting = {each for node in waiting for each in graph.get(node, ())} - found
    return found
