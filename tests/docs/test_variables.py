"""Whoever pastes a command from the documentation has its variables: the stack puts them out, and `make -s local-env` prints them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from local.cloud.variables import OUTPUT_OF, export_lines, of_outputs

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text()
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/*.md"))]
}
BLOCK = re.compile(r"```(?:console|bash|sh)\n(.*?)```", re.DOTALL)
VARIABLE = re.compile(r"\$\{?([A-Z][A-Z0-9_]{3,})\b")
INFRA = "\n".join(path.read_text() for path in sorted((ROOT / "infra").glob("*.py")))


def _used(text: str) -> set[str]:
    return {name for block in BLOCK.findall(text) for name in VARIABLE.findall(block)}


def test_variables_are_found() -> None:
    """A search that finds nothing would prove nothing."""
    assert {"LEDGER_TABLE", "FINDINGS_QUEUE_ARN", "SWEEP_STATE_MACHINE_ARN"} <= set().union(*map(_used, PAGES.values()))


@pytest.mark.parametrize("page", PAGES)
def test_a_variable_in_a_command_is_set_by_somebody(page: str) -> None:
    """By an output of the stack, or by an earlier command of the same page."""
    own = {"PATH", *re.findall(r"\b([A-Z][A-Z0-9_]{3,})=\$\(", PAGES[page])}
    assert set() == _used(PAGES[page]) - OUTPUT_OF.keys() - own


@pytest.mark.parametrize(("name", "output"), OUTPUT_OF.items())
def test_a_variable_is_an_output_of_the_stack_and_is_documented(name: str, output: str) -> None:
    """The table of the operations guide says which; the sources of the stack name it."""
    assert f'"{output}"' in INFRA
    assert f"| `{name}` | `{output}`" in PAGES["docs/operations.md"]


def test_a_shell_takes_the_lines() -> None:
    """Whatever is in a value; an output that the stack does not have leaves its variable out."""
    lines = export_lines(of_outputs({"LedgerTableName": "a 'b' $HOME;c", "SweepBucketName": "plain", "Other": "x"}))
    script = "\n".join(
        [*lines, 'printf "%s|%s|%s" "$LEDGER_TABLE" "$SWEEP_BUCKET" "${SELFTEST_STATE_MACHINE_ARN-unset}"']
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert "a 'b' $HOME;c|plain|unset" == done.stdout


def test_both_versions_of_the_aws_cli_are_spoken_of() -> None:
    """Version 1 refuses the option that version 2 needs."""
    assert any("--cli-binary-format" in text for text in PAGES.values())
    assert "Version 1 does not know it" in PAGES["docs/operations.md"]
