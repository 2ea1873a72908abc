"""Every payload in the documentation is one that the manual function takes, and what is real says who asks."""

from __future__ import annotations

import json
import re

import pytest

from imdsv2.domain.texts.commands import commands_in
from imdsv2.people.command_request import Command, CommandKind
from imdsv2.people.request import parse
from imdsv2.people.sources.image_request import ImageOrder
from imdsv2.people.sources.request import SOURCES, SourceQuestion
from tests.docs.pages import all_pages

PAGES = all_pages()
PAYLOADS = sorted(
    (name, payload)
    for name, text in PAGES.items()
    for payload in re.findall(r"--function-name imdsv2-remediation-manual[^']*?--payload '(.*?)'", text, re.DOTALL)
)
COMMANDS = sorted(
    (name, text[start:end])
    for name, text in PAGES.items()
    for start, end in commands_in(text)
    if json.loads(text[start:end]).keys() & {*CommandKind}
)


def test_the_pages_that_help_in_an_incident_have_commands() -> None:
    """A search that finds nothing would prove nothing."""
    assert {"docs/undo.md", "docs/operations.md"} <= {name for name, _ in PAYLOADS}
    assert {*CommandKind} == {
        command.kind for _, text in COMMANDS if isinstance(command := parse(json.loads(text)), Command)
    }


@pytest.mark.parametrize(("page", "payload"), PAYLOADS)
def test_a_payload_on_a_command_line_is_taken(page: str, payload: str) -> None:
    """As it stands between the quotes."""
    assert parse(json.loads(payload)), page


@pytest.mark.parametrize(("page", "text"), COMMANDS)
def test_a_command_in_a_page_is_taken(page: str, text: str) -> None:
    """In tables and in sentences, too."""
    assert isinstance(parse(json.loads(text)), Command), page


def test_the_page_of_sources_asks_in_both_ways() -> None:
    """By account and Region, and by instance; it asks nothing that the function does not take."""
    texts = re.findall(r"`(\{\"sources\": .*?\})`", PAGES["docs/sources.md"]) + [
        payload for page, payload in PAYLOADS if page == "docs/sources.md"
    ]
    questions = [parse(json.loads(text)) for text in texts]
    assert {True, False} == {bool(each.targets) for each in questions if isinstance(each, SourceQuestion)}
    assert all(isinstance(each, SourceQuestion | ImageOrder) for each in questions)
    assert SOURCES in PAGES["docs/reference/commands.md"]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_command_in_part(page: str) -> None:
    """`"clear": true` beside targets was taken by earlier versions."""
    assert not re.search(r'"(?:' + "|".join(CommandKind) + r')": (?:true|false)', PAGES[page])
