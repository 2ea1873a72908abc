"""The deployed code, built without Docker: the handlers and the few pure-Python packages that they import."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from infra.botocore_data import prune
from infra.bytecode import compile_ahead
from infra.errors import PackagesUnfit
from infra.service_models import OPERATIONS, SELFTEST_OPERATIONS, SOURCE_OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

LAMBDAS = Path(__file__).parent.parent / "lambdas"

PACKAGES = (
    "aws-lambda-powertools",
    "botocore",
    "jmespath",
    "python-dateutil",
    "six",
    "typing_extensions",
    "urllib3",
)
"""Packages that the handlers import, with their dependencies. Not boto3: sessions are botocore's own, which start faster."""

BOTOCORE_DATA = PurePosixPath("botocore/data")
WEB_FRAMEWORK = "aws_lambda_powertools/event_handler"
SOURCE_MODELS = "source_models"
"""The folder of the models that only questions about sources read, see lambdas/imdsv2/aws/parsing.py."""
SELFTEST_MODELS = "selftest_models"
"""The folder of the models that only the self-test reads, see lambdas/selftest.py."""


def assemble(destination: Path, python: str | None) -> None:
    """Fill an empty directory with the asset, with bytecode of this interpreter if there is one.

    The same sources and the same version of Python give the same bytes, and so the same asset hash.
    """
    shutil.copytree(LAMBDAS, destination, dirs_exist_ok=True, ignore=_but_modules)
    add_packages(destination)
    if python:
        compile_ahead(destination, python)
    _let_everybody_read(destination)


def _but_modules(directory: str, names: list[str]) -> list[str]:
    """What is no module, e.g. what an editor or a person has left beside them: it may be a secret, and would change the asset's hash."""
    return [
        each
        for each in names
        if each.startswith((".", "__pycache__")) or (not each.endswith(".py") and not Path(directory, each).is_dir())
    ]


def add_packages(destination: Path, packages: Iterable[str] = PACKAGES) -> None:
    """Add to the service's own code what it imports. Raises PackagesUnfit."""
    for package in packages:
        for file in _files(package):
            if _is_needed(file):
                target = destination / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    models = Path(str(metadata.distribution("botocore").locate_file(BOTOCORE_DATA)))
    prune(models, destination / BOTOCORE_DATA, OPERATIONS)
    prune(models, destination / SOURCE_MODELS, SOURCE_OPERATIONS)
    prune(models, destination / SELFTEST_MODELS, SELFTEST_OPERATIONS, read={})


def _files(package: str) -> list[metadata.PackagePath]:
    """The files of a package. Some packagers of Python keep no list of them: the functions would be deployed without the package, and none of
    them could be imported. Raises PackagesUnfit."""
    try:
        files = metadata.files(package)
    except metadata.PackageNotFoundError:
        raise PackagesUnfit(f"The package {package} is not installed") from None
    if not files:
        raise PackagesUnfit(f"The package {package} is installed without a list of its files")
    return files


def _let_everybody_read(directory: Path) -> None:
    """The command line puts each file's mode into the archive, and Lambda runs functions as another user.

    The umask of whoever deploys must not decide whether functions can be imported. The asset's hash leaves modes out, so
    that an archive with wrong ones would not be uploaded again.
    """
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _is_needed(file: PurePosixPath) -> bool:
    """Keep code and its data; drop scripts of packages, files that installers and interpreters create, and Powertools' web framework
    with its pages, a quarter of the package: no function answers HTTP."""
    return (
        ".." not in file.parts
        and "__pycache__" not in file.parts
        and not file.parts[0].endswith(".dist-info")
        and not file.is_relative_to(BOTOCORE_DATA)
        and not file.is_relative_to(WEB_FRAMEWORK)
    )
