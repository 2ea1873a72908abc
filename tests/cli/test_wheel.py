"""The wheel holds the command line and the parts of the service that it judges by, and nothing that is deployed beside them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from imdsv2.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "cli", "lambdas")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Built from a copy, without the network."""
    for name in NEEDED:
        of = ROOT / name
        if of.is_dir():
            shutil.copytree(of, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(of, tmp_path / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    [made] = (tmp_path / "dist").glob("*.whl")
    return made


def test_the_wheel_is_complete(wheel: Path) -> None:
    """Every file of both packages, the program, and the version."""
    with zipfile.ZipFile(wheel) as archive:
        names = {each for each in archive.namelist() if ".dist-info/" not in each}
        entry = archive.read(f"imdsv2_remediation-{VERSION}.dist-info/entry_points.txt").decode()
    expected = {
        path.relative_to(ROOT / base).as_posix()
        for base, package in (("cli", "imdsv2_cli"), ("lambdas", "imdsv2"))
        for path in (ROOT / base / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected == names
    assert "imdsv2 = imdsv2_cli.main:main" in entry
