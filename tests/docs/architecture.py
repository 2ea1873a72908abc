"""Draws the pictures and tables of docs/architecture.md from the code: imports, docstrings and the table of moves.

`KEEP=1 pytest tests/docs/test_architecture.py` (or `make kept`) writes them into the page.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imdsv2.domain.lifecycle import MOVES
from tests.docs.import_graph import LAYERS, SERVICES, grouped, import_graph, package_of, reduced
from tests.unit.test_layers import HANDLERS, MAY_IMPORT, MODULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from imdsv2.domain.lifecycle import Status

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- end of generated -->)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way through the modules.

    Args:
        name: what the picture is called.
        trigger: what invokes the function.
        steps: the modules in the order in which control first reaches them.
        calls: what they use to read and write, drawn without a number.
    """

    name: str
    trigger: str
    steps: tuple[str, ...]
    calls: tuple[str, ...]


LINE = Way(
    name="The way of a finding",
    trigger="SQS: findings",
    steps=(
        "handlers.remediate",
        "intake.run",
        "intake.events",
        "line.run",
        "line.judge",
        "line.evidence.gather",
        "line.evidence.stops",
        "line.evidence.reboots",
        "line.evidence.siblings",
        "line.evidence.membership",
        "line.evidence.cohort_evidence",
        "line.evidence.glance",
        "line.evidence.closed_hours",
        "domain.verdict_table.decision",
        "line.act",
        "line.gate",
        "line.denials",
        "line.canaries",
        "line.canary_records",
        "domain.gates",
        "line.enforce",
        "line.look_again",
        "line.record",
        "line.verdict_record",
        "line.evidence.proofs",
        "line.notices",
        "line.tell",
        "line.note",
        "line.urgent",
        "line.messages",
    ),
    calls=(
        "ledger",
        "aws.ec2",
        "aws.cloudwatch",
        "aws.scaling",
        "aws.change_calendar",
        "aws.metadata_options",
        "aws.security_hub",
        "aws.topic",
    ),
)
GUARD = Way(
    name="The way of the guard",
    trigger="Schedule: every 5 minutes",
    steps=(
        "handlers.guard",
        "wiring.guard",
        "guard.run",
        "guard.recall",
        "guard.listing",
        "guard.place",
        "guard.watch",
        "guard.counting",
        "guard.judging",
        "guard.signs",
        "domain.breakage",
        "domain.health",
        "guard.departures",
        "guard.untagged",
        "guard.response",
        "guard.holding",
        "guard.obstacle",
        "guard.rollback",
        "guard.rollback_request",
        "guard.writer",
        "guard.sources",
        "line.tell",
    ),
    calls=("ledger", "aws.ec2", "aws.cloudwatch", "aws.metadata_options", "aws.security_hub", "aws.topic"),
)
ASIDE = {
    *("revisit.policy_change", "revisit.policy_trail"),
    *("line.sources.findings", "line.sources.judging", "line.sources.book", "domain.node", "intake.started"),
    *("intake.source_events", "line.sources.texts"),
}
"""What the revisit function does before it enters the line, and what answers messages about sources and starts of instances."""
EVERYWHERE = {"line.judgement", "intake.event_names"}
"""Values that travel along the line or are handed into it; they are no steps."""

_TO_RUN = ("handlers.remediate", "intake.run", "line.run")
_TO_RESPONSE = ("handlers.guard", "wiring.guard", "guard.run", "guard.place", "guard.response")
WALKS: Mapping[str, tuple[str, ...]] = {
    "message to evidence": (*_TO_RUN, "line.judge", "line.evidence.gather", "aws.cloudwatch", "CloudWatch"),
    "message to ledger": (*_TO_RUN, "line.act", "ledger.table", "DynamoDB"),
    "message to EC2": (*_TO_RUN, "line.act", "line.enforce", "aws.metadata_options", "EC2"),
    "message to note on the finding": (*_TO_RUN, "line.tell", "aws.security_hub", "Security Hub"),
    "breakage to EC2": (*_TO_RESPONSE, "guard.rollback", "aws.metadata_options", "EC2"),
    "breakage to note on the finding": (*_TO_RESPONSE, "line.tell", "aws.security_hub", "Security Hub"),
}
"""Walks that a newcomer may follow from import to import."""


def packages_drawn() -> str:
    """Which package imports which."""
    packages = {*LAYERS}
    graph = grouped(import_graph(), package_of)
    inside = reduced({node: several & packages for node, several in graph.items() if node in packages})
    arrows = [f"  {node} --> {each}" for node in LAYERS for each in LAYERS if each in inside[node]]
    return _mermaid(
        "flowchart TD",
        "The packages",
        "Which package imports which, from handlers and wiring down to domain. The table below lists the same.",
        arrows,
    )


def way_drawn(way: Way) -> str:
    """One way: its steps with their numbers, what they call, and the AWS services behind it."""
    graph = grouped(import_graph(), lambda name: "ledger" if package_of(name) == "ledger" else name)
    shown = {*way.steps, *way.calls, *SERVICES.values()}
    inside = reduced({node: several & shown for node, several in graph.items() if node in shown})
    numbers = {step: number for number, step in enumerate(way.steps, 1)}
    lines = [f'  trigger(["{way.trigger}"]) -.-> {_id(way.steps[0])}']
    for package in LAYERS:
        members = [each for each in (*way.steps, *way.calls) if package_of(each) == package]
        nodes = [f'  {_id(each)}["{_label(each, numbers)}"]' for each in members]
        boxed = len(nodes) > 1 or members != [package]
        lines += (
            [f'  subgraph {package}_["{package}"]', *(f"  {node}" for node in nodes), "  end"]
            if boxed and nodes
            else nodes
        )
    for node in (*way.steps, *way.calls):
        lines += [f"  {_id(node)} --> {_id(each)}" for each in sorted(inside[node]) if each in graph]
        lines += [f'  {_id(node)} --> {_id(each)}(["{each}"])' for each in sorted(inside[node]) if each not in graph]
    described = f"{len(way.steps)} numbered steps and what they call, from the trigger to the services of AWS. The table below lists the steps."
    return _mermaid("flowchart LR", way.name, described, lines)


def _id(node: str) -> str:
    return re.sub(r"\W", "_", node)


def _label(node: str, numbers: Mapping[str, int]) -> str:
    name = node.rpartition(".")[2]
    return f"{numbers[node]} {name}" if node in numbers else name


def _mermaid(kind: str, title: str, description: str, lines: Iterable[str]) -> str:
    """A diagram; title and description are for those who hear it."""
    return "\n".join(["```mermaid", kind, f"  accTitle: {title}", f"  accDescr: {description}", *lines, "```"])


def steps_listed(way: Way) -> str:
    """Each step with the first sentence of its module's docstring."""
    rows = [f"| {number} | `{_path(each)}` | {_purpose(each)} |" for number, each in enumerate(way.steps, 1)]
    return "\n".join(["| step | module | what it does |", "| --- | --- | --- |", *rows])


def _path(module: str) -> str:
    if package_of(module) == "handlers":
        return f"lambdas/{module.removeprefix('handlers.')}.py"
    return f"lambdas/imdsv2/{module.replace('.', '/')}.py"


def _purpose(module: str) -> str:
    tree = HANDLERS[module.removeprefix("handlers.")] if package_of(module) == "handlers" else MODULES[module]
    paragraph = " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())
    return (re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0]).replace("|", "\\|")


def walks_listed() -> str:
    """The walks, as the packages and modules that they pass."""
    rows = [f"| {name} | {' → '.join(f'`{each}`' for each in walk)} |" for name, walk in WALKS.items()]
    return "\n".join(["| from | through |", "| --- | --- |", *rows])


def packages_listed() -> str:
    """Each package with its docstring, and what it may import."""
    rows = [
        f"| `{each}` | {ast.get_docstring(MODULES[each])} | {_names(name for name in LAYERS if name in MAY_IMPORT[each])} |"
        for each in reversed(MAY_IMPORT)
    ]
    return "\n".join(["| package | purpose | may import |", "| --- | --- | --- |", *rows])


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def moves_drawn(moves: Mapping[Status | None, AbstractSet[Status]] = MOVES) -> str:
    """The life of a record. What a judgement may lead to, from nearly everywhere, is drawn once, through `judged`."""
    judged = moves[None]
    lines = ["  state judged <<choice>>", "  [*] --> judged"]
    lines += _arrows("judged", judged)
    for status, followers in moves.items():
        if status is None:
            continue
        if judged <= followers:
            lines += [f"  {status} --> judged", *_arrows(status, followers - judged)]
        else:
            lines += _arrows(status, followers)
    described = (
        f"{len(moves) - 1} statuses, and which may follow which. A new judgement leads to {', '.join(sorted(judged))}."
    )
    return _mermaid("stateDiagram-v2", "The life of a record", described, lines)


def _arrows(start: str, ends: AbstractSet[Status]) -> Sequence[str]:
    return [f"  {start} --> {each}" for each in sorted(ends)]


BLOCKS: Mapping[str, Callable[[], str]] = {
    "packages drawn": packages_drawn,
    "line drawn": lambda: way_drawn(LINE),
    "line listed": lambda: steps_listed(LINE),
    "guard drawn": lambda: way_drawn(GUARD),
    "guard listed": lambda: steps_listed(GUARD),
    "walks": walks_listed,
    "packages listed": packages_listed,
    "moves": moves_drawn,
}
"""What the page marks as generated."""


def render(page: str) -> str:
    """The page with every marked block written anew. Raises KeyError for a block that is not known."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n\n{block[3]}", page)
