"""Bytecode in the package: for the functions' version of Python, the same bytes from every machine, and used as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING

import pytest

from infra import bytecode
from infra.bytecode import VERSION, compile_ahead, interpreter

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.templates import Template

_UNCHECKED_HASH = (1).to_bytes(4, "little")
_SOURCE = (
    "NAMES = {'b', 'a', 'c'} & frozenset(('x', 'y'))\n\n\ndef name(of: int = 3) -> str:\n    return f'{of} {NAMES}'\n"
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A directory with two modules, one of them in a package."""
    for name in ("first.py", "inner/second.py"):
        path = tmp_path / "asset" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_SOURCE)
    return tmp_path / "asset"


def compiled(directory: Path) -> dict[str, bytes]:
    """Path to bytes of what was compiled."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.pyc")}


def test_the_version_is_the_one_that_the_functions_run_on(template: Template) -> None:
    functions = template.resources("AWS::Lambda::Function").values()
    assert {f"python{VERSION}"} == {each["Runtime"] for each in functions}


def test_each_module_has_bytecode_that_is_never_checked(package: Path) -> None:
    """Lambda unpacks the archive with times of its own."""
    compile_ahead(package, sys.executable)
    heads = {content[:8] for content in compiled(package).values()}
    assert (2, {MAGIC_NUMBER + _UNCHECKED_HASH}) == (len(compiled(package)), heads)


def test_what_runs_is_the_bytecode(package: Path) -> None:
    """The module's text may have changed, and its time."""
    compile_ahead(package, sys.executable)
    (package / "first.py").write_text("raise RuntimeError('compiled anew')\n")
    script = f"import sys; sys.path.insert(0, {str(package)!r}); import first; print(first.name.__code__.co_filename)"
    run = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", script], capture_output=True, text=True, check=True)
    assert f"{package / 'first.py'}\n" == run.stdout


def test_the_place_is_not_in_the_bytes(package: Path, tmp_path: Path) -> None:
    """The asset's hash decides whether functions are replaced."""
    moved = tmp_path / "elsewhere" / "deeper"
    moved.parent.mkdir()
    compile_ahead(package, sys.executable)
    first = compiled(package)
    package.rename(moved)
    for path in moved.rglob("*.pyc"):
        path.unlink()
    compile_ahead(moved, sys.executable)
    assert first == compiled(moved)
    assert not any(str(tmp_path).encode() in content for content in first.values())


ANOTHER = "9.7"
"""A version that no machine has."""


@pytest.mark.parametrize(
    ("script", "is_taken"),
    [(f"echo {ANOTHER}", True), ("echo 2.7", False), ("echo 'not installed' >&2; exit 127", False), ("exit 0", False)],
)
def test_a_program_is_asked_which_python_it_is(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_taken: bool
) -> None:
    """Version managers leave placeholders on the path that start nothing."""
    program = tmp_path / f"python{ANOTHER}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(bytecode, "VERSION", ANOTHER)
    assert (str(program) if is_taken else None) == interpreter()


def test_without_a_program_there_is_no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytecode, "VERSION", ANOTHER)
    assert interpreter() is None


def test_the_interpreter_that_builds_serves_if_it_is_of_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its name."""
    monkeypatch.setattr(bytecode, "VERSION", "{}.{}".format(*sys.version_info))
    assert sys.executable == interpreter()
