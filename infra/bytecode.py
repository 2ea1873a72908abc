"""Bytecode for the functions. Lambda cannot keep what it compiles: without bytecode, every cold start compiles every module anew, which takes
longer than everything else that a start does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "3.13"
"""The functions' version of Python. Another one ignores the bytecode, and compiles."""

NOT_COMPILED = (
    "python3.13 was not found, so the functions are packaged without bytecode: they work, but each cold start takes about twice as long. "
    "To avoid that, install Python 3.13 so that `python3.13` starts it, and deploy again."
)

_ASKED = "import sys; print(*sys.version_info[:2], sep='.')"


def interpreter() -> str | None:
    """An interpreter of the functions' version: this one, or the one on the path. None if there is none."""
    if "{}.{}".format(*sys.version_info) == VERSION:
        return sys.executable
    found = shutil.which(f"python{VERSION}")
    return found if found and _version(found) == VERSION else None


def compile_ahead(directory: Path, python: str) -> None:
    """Put bytecode next to each module. The same modules give the same bytes, wherever they are.

    Archives do not keep the times of files, so the bytecode is marked as never to be checked against its module. The compiler runs in one
    process of its own: what else a process has done shows in the bytes.
    """
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(directory)]
    subprocess.run(  # noqa: S603 - an interpreter that has just answered
        [python, "-I", "-S", "-m", "compileall", *options, str(directory)], check=True, stdout=subprocess.DEVNULL
    )


def _version(python: str) -> str:
    """What a program says of its version: one that is named like an interpreter may be a placeholder that starts nothing."""
    run = subprocess.run([python, "-c", _ASKED], check=False, capture_output=True, text=True)  # noqa: S603
    return run.stdout.strip()
