"""Files that somebody hands to a command and that cannot be read: one line, with the file, the place in it and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Aws

BAD: dict[str, tuple[bytes, str]] = {
    "a comma too many": (b'{\n  "mode": "observe",\n}', "line 3, column 1 is no JSON"),
    "of another encoding": ('{\n"mode": "übersehen"}'.encode("latin-1"), "line 2 is not written in UTF-8"),
    "two bytes a letter": ('{"mode": "off"}'.encode("utf-16"), "line 1 is not written in UTF-8"),
    "empty": (b"", "line 1, column 1 is no JSON"),
    "without end": (b"[" * 100_000, "nested too deep"),
}
COMMANDS = {
    "policy set": ("policy", "set", "--yes", "--from"),
    "policy check": ("policy", "check", "--from"),
    "policy diff": ("policy", "diff", "--from"),
    "enforce": ("enforce", "--yes", "--plan"),
    "approve": ("approve", "--yes", "--plan"),
}


@pytest.fixture
def parameter(aws: Aws) -> Aws:
    """A policy that is in force."""
    found = {"Value": '{"mode": "observe"}', "Version": 1, "LastModifiedDate": datetime(2027, 4, 1, tzinfo=UTC)}
    aws.answers["ssm", "get_parameter"] = {"Parameter": found}
    aws.answers["ssm", "describe_parameters"] = {"Parameters": [{}]}
    return aws


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_document_is_told_by_the_line(parameter: Aws, tmp_path: Path, command: str, name: str) -> None:
    """And nothing is asked of the service."""
    content, says = BAD[name]
    path = tmp_path / "given.json"
    path.write_bytes(content)
    done = run(*COMMANDS[command], str(path))
    assert (2, "", []) == (done.exit_code, done.stdout, parameter.payloads()), done.output
    assert 1 == len(done.stderr.strip().splitlines())
    assert (True, True) == (str(path) in done.stderr, says in done.stderr)


@pytest.mark.parametrize("command", ["policy set", "enforce"])
def test_what_holds_a_list_is_told_what_to_write(parameter: Aws, tmp_path: Path, command: str) -> None:
    """It is JSON, of another kind."""
    path = tmp_path / "given.json"
    path.write_text("[]")
    done = run(*COMMANDS[command], str(path))
    assert (2, 1) == (done.exit_code, len(done.stderr.strip().splitlines()))
    assert "; write " in done.stderr
