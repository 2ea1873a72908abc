"""Settings that cannot be read are refused in one line: the file, where in it, and what to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.context_file import HANDED_OVER, handed_over, settings_in
from infra.errors import ContextUnreadable

ROOT = Path(__file__).resolve().parents[2]
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "a comma too many": (b'{\n  "context": {\n    "selftest": true,\n  }\n}\n', "line 4, column 3 is no JSON"),
    "cut off": (b'{"context": {"selftest": ', "line 1, column 26 is no JSON"),
    "empty": (b"", "line 1, column 1 is no JSON"),
    "of another encoding": (
        '{"context": {\n\n"notification_email": "jörg@example.com"}}'.encode("latin-1"),
        "line 3 is not",
    ),
    "of a shell that writes two bytes a letter": ('{"context": {}}'.encode("utf-16"), "line 1 is not written in UTF-8"),
    "a list": (b'[{"context": {}}]', "it holds a list, not an object"),
    "a text": (b'"context"', "it holds a text, not an object"),
    "null": (b"null", "it holds null, not an object"),
    "without settings": (b'{"app": "python app.py"}', "there is no context"),
    "with a list of settings": (b'{"context": ["selftest"]}', "context is a list"),
    "with settings that are null": (b'{"context": null}', "context is null"),
    "nested without end": (b"[" * 100_000, "nested too deep"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named_with_the_line(tmp_path: Path, name: str) -> None:
    """And with the way back to one that can."""
    content, says = UNREADABLE[name]
    path = tmp_path / "cdk.json"
    path.write_bytes(content)
    with pytest.raises(ContextUnreadable) as refused:
        settings_in(path)
    message = str(refused.value)
    assert message.startswith(f"{path} cannot be read: ")
    assert says in message
    assert "git checkout cdk.json" in message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As is a folder of its name."""
    with pytest.raises(ContextUnreadable, match="No such file"):
        settings_in(tmp_path / "cdk.json")
    with pytest.raises(ContextUnreadable, match="directory"):
        settings_in(tmp_path)


def test_an_editor_s_mark_is_no_fault(tmp_path: Path) -> None:
    """The command line of the CDK takes it, too."""
    path = tmp_path / "cdk.json"
    path.write_bytes(b'\xef\xbb\xbf{"context": {"selftest": "\xc3\xa4"}}')
    assert {"selftest": "ä"} == settings_in(path)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "line 1, column 2"), ("[1]", "a list"), ("7", "a number"), ("true", "true")]
)
def test_what_the_command_line_hands_over_is_named_by_its_variable(text: str, says: str) -> None:
    """Somebody may have set it."""
    with pytest.raises(ContextUnreadable, match=HANDED_OVER) as refused:
        handed_over(text)
    assert says in str(refused.value)


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_nothing_handed_over_is_no_setting(text: str | None) -> None:
    """Without the command line of the CDK."""
    assert {} == handed_over(text)


@pytest.mark.parametrize("program", [["app.py"], ["-m", "infra.guardrails"]])
def test_no_program_ends_in_a_trace(tmp_path: Path, program: list[str]) -> None:
    """Whoever deploys reads one line."""
    (tmp_path / "lambdas").symlink_to(ROOT / "lambdas")
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "app.py", tmp_path)
    (tmp_path / "cdk.json").write_text('{"context": {\n"policy" {}}}')
    done = subprocess.run([sys.executable, *program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert "Traceback" not in done.stderr
    # Before it, the CDK's own runtime may complain of its age.
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'cdk.json'} cannot be read: line 2, column 10 is no JSON")
