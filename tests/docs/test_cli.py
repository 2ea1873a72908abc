"""docs/cli.md says what the commands say, and its examples are taken."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import click
import pytest

from imdsv2_cli.commands import COMMANDS, SECTIONS
from imdsv2_cli.main import root
from tests.docs.cli_page import load, page

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cli.md"
EXAMPLES = sorted(
    {
        (each.relative_to(ROOT).as_posix(), line)
        for each in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
        for line in re.findall(r"^\$ imdsv2 (.*?)(?:\s+#.*)?$", each.read_text(), re.MULTILINE)
    }
)


def test_the_page_is_written_from_the_commands() -> None:
    """KEEP=1 writes it anew."""
    if os.environ.get("KEEP"):
        PAGE.write_text(page())
    assert page() == PAGE.read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_line_of_the_docstring(name: str) -> None:
    """`imdsv2 --help` shows it without importing the command."""
    assert COMMANDS[name].summary == (load(name).help or "").partition("\n\n")[0].replace("\n", " ")
    assert COMMANDS[name].section in SECTIONS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    """With a sentence, in groups as well."""

    def of(command: click.Command) -> list[click.Parameter]:
        inner = command.commands.values() if isinstance(command, click.Group) else []
        return [*command.params, *(param for each in inner for param in of(each))]

    for param in of(load(name)):
        assert not isinstance(param, click.Option) or (param.help or "").endswith((".", "...")), param.name


@pytest.mark.parametrize(("where", "line"), EXAMPLES)
def test_an_example_is_a_command_line_that_is_taken(where: str, line: str, tmp_path: Path) -> None:
    """Its options exist and have values that fit; nothing is called."""
    words = shlex.split(line.partition(" |")[0].partition(" >")[0])
    (tmp_path / "plan.json").write_text("{}")
    words = [str(tmp_path / word) if word == "plan.json" else word for word in words]
    context: click.Context = click.Context(root, info_name="imdsv2")
    command: click.Command = root
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, f"{where}: {name}"
        command = found
    command.make_context(command.name, words, parent=context)
