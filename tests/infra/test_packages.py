"""What the functions import is packaged whole, or the deployment does not begin: a function without it cannot be imported."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from infra import asset
from infra.asset import PACKAGES, add_packages
from infra.botocore_data import prune
from infra.errors import INSTALL, PackagesUnfit
from tests.infra.templates import ROOT

DATA = Path(str(metadata.distribution("botocore").locate_file("botocore/data")))


@pytest.mark.parametrize("listed", [None, []])
@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_without_a_list_of_its_files_is_not_left_out_in_silence(
    package: str, listed: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages of some distributions of Linux are installed like that."""
    known = metadata.files
    monkeypatch.setattr(metadata, "files", lambda name: listed if name == package else (known(name) or [])[:1])
    with pytest.raises(PackagesUnfit, match=f"The package {package} is installed without") as refused:
        add_packages(tmp_path)
    assert str(refused.value).endswith(INSTALL)


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the command that installs all of them."""
    with pytest.raises(PackagesUnfit, match="no-such-package-of-ours is not installed"):
        add_packages(tmp_path, ["no-such-package-of-ours"])


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ({"ec2": frozenset({"DescribeInstances", "RequireTokensOfEverything"})}, "RequireTokensOfEverything of ec2"),
        ({"ec2": frozenset({"DescribeInstances"}), "imds": frozenset({"GetTokens"})}, "the service imds"),
    ],
)
def test_an_sdk_that_is_older_than_the_service_is_refused(
    operations: dict[str, frozenset[str]], said: str, tmp_path: Path
) -> None:
    """As after an upgrade of the checkout alone."""
    with pytest.raises(PackagesUnfit, match=f"does not know {said}"):
        prune(DATA, tmp_path / "data", operations)


def test_what_a_person_left_beside_the_modules_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a secret; and another hash of the asset would replace every function."""
    sources, made = tmp_path / "lambdas", tmp_path / "asset"
    kept = ["guard.py", "imdsv2/__init__.py", "imdsv2/aws/sessions.py"]
    left = [
        ".env",
        ".DS_Store",
        "guard.py.orig",
        "notes.txt",
        "imdsv2/.idea/a.xml",
        "imdsv2/aws/.#sessions.py",
        "__pycache__/guard.cpython-313.pyc",
    ]
    for each in (*kept, *left):
        (sources / each).parent.mkdir(parents=True, exist_ok=True)
        (sources / each).write_text("")
    monkeypatch.setattr(asset, "LAMBDAS", sources)
    monkeypatch.setattr(asset, "add_packages", lambda _: None)
    asset.assemble(made, None)
    assert sorted(kept) == sorted(str(each.relative_to(made)) for each in made.rglob("*") if each.is_file())


def test_the_command_that_is_named_is_that_of_the_manual() -> None:
    """Whoever reads it finds the rest there."""
    manual = (ROOT / "docs/install.md").read_text()
    assert all(each in manual for each in INSTALL.replace(" && ", "\n").splitlines())
