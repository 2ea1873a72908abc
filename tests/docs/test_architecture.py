"""docs/architecture.md matches the code: its pictures, its lists, the files that it names, and one direction of imports.

`KEEP=1` or `make kept` writes the generated blocks anew; review the difference before you commit it.
"""

from __future__ import annotations

import os
import re
from itertools import groupby, pairwise

import pytest

from imdsv2.domain.lifecycle import MOVES, Status
from tests.docs import architecture
from tests.docs.architecture import ASIDE, BLOCKS, EVERYWHERE, GUARD, LINE, PAGE, ROOT, WALKS, Way, render
from tests.docs.import_graph import LAYERS, SERVICES, import_graph, package_of, reduced, upwards

RENEW = "KEEP" in os.environ
TEXT = render(PAGE.read_text()) if RENEW else PAGE.read_text()
GRAPH = import_graph()
RANK = {package: number for number, package in enumerate(LAYERS)}
TERMS = (
    *("verdict", "decision", "reason", "gate", "cohort", "canary", "hold", "watch", "recall", "breaker", "finding"),
    *("echo", "case", "judgement", "record", "revisit", "sweep", "lease", "obstacle"),
)


def moves_in(picture: str) -> dict[Status | None, set[Status]]:
    """The moves that a state diagram shows, with those through `judged` written out."""
    arrows = [(start, end) for start, end in re.findall(r"^  (\S+) --> (\S+)$", picture, re.MULTILINE)]
    judged = {Status(end) for start, end in arrows if start == "judged"}
    moves: dict[Status | None, set[Status]] = {}
    for start, end in arrows:
        if start != "judged":
            known = moves.setdefault(None if start == "[*]" else Status(start), set())
            known |= judged if end == "judged" else {Status(end)}
    return moves


# --- Generated blocks ----------------------------------------------------------------------------------------------


def test_the_page_is_what_the_code_says() -> None:
    """Any change of imports, docstrings or moves requires the blocks to be written anew."""
    if RENEW:
        PAGE.write_text(TEXT)
    assert render(TEXT) == TEXT


@pytest.mark.parametrize("name", BLOCKS)
def test_an_outdated_block_is_noticed(name: str) -> None:
    """A comparison that accepts everything would prove nothing. Each block is there once."""
    [block] = re.findall(rf"<!-- generated: {name} -->\n.*?<!-- end of generated -->", TEXT, re.DOTALL)
    lines = block.splitlines()
    outdated = TEXT.replace(block, "\n".join([*lines[: len(lines) // 2], *lines[len(lines) // 2 + 1 :]]))
    assert outdated != TEXT
    assert render(outdated) == render(TEXT)


def test_the_life_of_a_record_is_drawn_with_every_move() -> None:
    """And without any other move."""
    assert dict(MOVES) == moves_in(architecture.moves_drawn())


def test_a_new_move_changes_the_picture() -> None:
    """Also a move that is missing."""
    added = {**MOVES, Status.ROLLED_BACK: MOVES[Status.ROLLED_BACK] | {Status.VERIFIED}}
    removed = {**MOVES, Status.ENFORCING: MOVES[Status.ENFORCING] - {Status.HELD}}
    for changed in (added, removed):
        assert changed == moves_in(architecture.moves_drawn(changed)) != dict(MOVES)


# --- One direction -------------------------------------------------------------------------------------------------


def test_no_package_imports_upwards() -> None:
    """Therefore every walk along imports passes each package once."""
    assert [] == upwards(GRAPH)


@pytest.mark.parametrize(
    ("module", "imported"),
    [("domain.verdict_table.decision", "line.judge"), ("line.run", "guard.run"), ("aws.ec2", "handlers.guard")],
)
def test_an_import_upwards_is_noticed(module: str, imported: str) -> None:
    """An assertion of absence needs a proof that it can detect presence."""
    assert [(module, imported)] == upwards({**GRAPH, module: GRAPH[module] | {imported}})


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_follows_imports_and_passes_each_package_once(name: str) -> None:
    """From what invokes the function down to an AWS service."""
    walk = WALKS[name]
    assert [] == [(each, following) for each, following in pairwise(walk) if following not in GRAPH[each]]
    assert walk[-1] in SERVICES.values()
    ranks = [RANK[package] for package, _ in groupby(walk[:-1], package_of)]
    assert sorted(set(ranks)) == ranks


@pytest.mark.parametrize("way", [LINE, GUARD], ids=["line", "guard"])
def test_each_step_is_imported_by_an_earlier_one(way: Way) -> None:
    """A step that nothing before it knows could not come next."""
    for number, step in enumerate(way.steps[1:], 1):
        assert any(step in GRAPH[earlier] for earlier in way.steps[:number]), step


def test_every_module_on_the_ways_is_a_step() -> None:
    """A new module has to find its place in the pictures."""
    drawn = {*LINE.steps, *GUARD.steps, *EVERYWHERE, *ASIDE}
    assert {each for each in GRAPH if package_of(each) in {"intake", "revisit", "line", "guard"}} <= drawn
    assert drawn <= GRAPH.keys()


def test_only_arrows_that_follow_from_others_are_left_out() -> None:
    """Whatever was reachable stays reachable."""
    assert {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()} == reduced(
        {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}
    )


# --- What is written by hand ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w.]+/[\w./]*|[\w]+\.(?:md|json))`", TEXT))))
def test_what_is_named_exists(path: str) -> None:
    """From the top of the repository, or short for a module of the service."""
    assert (ROOT / path).exists() or (ROOT / "lambdas" / "imdsv2" / path).exists()


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)h][^)]*)\)", TEXT))
def test_every_link_leads_somewhere(link: str) -> None:
    """Relative to the page."""
    assert (PAGE.parent / link).exists()


@pytest.mark.parametrize("package", LAYERS)
def test_it_is_said_what_belongs_into_a_package(package: str) -> None:
    """One line for each."""
    assert 1 == len(re.findall(rf"^- \*\*{package}\*\*", TEXT, re.MULTILINE))


@pytest.mark.parametrize("term", TERMS)
def test_every_term_is_explained_in_one_line(term: str) -> None:
    """Words that mean something else, or nothing, outside this project."""
    assert 1 == len(re.findall(rf"^\| {term} \| .+ \|$", TEXT, re.MULTILINE))
