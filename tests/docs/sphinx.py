"""Builds the manual as `make manual` does."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SPHINX = ROOT / ".venv-manual" / "bin" / "sphinx-build"
MERMAID = ROOT / "node_modules" / "@mermaid-js" / "tiny"

can_build = pytest.mark.skipif(
    not (SPHINX.exists() and MERMAID.exists()), reason="Sphinx or Mermaid is not installed: run `make setup`"
)


@dataclass(frozen=True, slots=True)
class Built:
    """Where the pages are, how the build ended, and what it complained of."""

    pages: Path
    code: int
    complaints: str


def build(docs: Path, into: Path) -> Built:
    """Build a manual into a folder."""
    makefile = (ROOT / "Makefile").read_text()
    [command] = re.findall(r"^\t\.venv-manual/bin/sphinx-build (.*) docs build/manual$", makefile, re.MULTILINE)
    line = [str(SPHINX), *command.split(), str(docs), str(into)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return Built(into, done.returncode, done.stderr)
