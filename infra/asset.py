"""The deployed code, built without Docker: the handlers and the few pure-Python packages that they import."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path, PurePosixPath

from infra.botocore_data import prune
from infra.service_models import OPERATIONS, SELFTEST_OPERATIONS, SOURCE_OPERATIONS

LAMBDAS = Path(__file__).parent.parent / "lambdas"

PACKAGES = (
    "aws-lambda-powertools",
    "boto3",
    "botocore",
    "jmespath",
    "python-dateutil",
    "s3transfer",
    "six",
    "typing_extensions",
    "urllib3",
)
"""Packages that the handlers import, with their dependencies. Of boto3, only its DynamoDB types; sessions are
botocore's own, which start faster."""

BOTOCORE_DATA = PurePosixPath("botocore/data")
SOURCE_MODELS = "source_models"
"""The folder of the models that only questions about sources read, see lambdas/imdsv2/aws/parsing.py."""
SELFTEST_MODELS = "selftest_models"
"""The folder of the models that only the self-test reads, see lambdas/selftest.py."""
BOTO3_DATA = PurePosixPath("boto3/data")
"""Models of boto3's resources, which the service does not use."""


def assemble(destination: Path) -> None:
    """Fill an empty directory with the asset. The same sources give the same bytes, and so the same asset hash."""
    shutil.copytree(LAMBDAS, destination, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    add_packages(destination)


def add_packages(destination: Path) -> None:
    """Add to the service's own code what it imports."""
    for package in PACKAGES:
        for file in metadata.files(package) or ():
            if _is_needed(file):
                target = destination / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    models = Path(str(metadata.distribution("botocore").locate_file(BOTOCORE_DATA)))
    prune(models, destination / BOTOCORE_DATA, OPERATIONS)
    prune(models, destination / SOURCE_MODELS, SOURCE_OPERATIONS)
    prune(models, destination / SELFTEST_MODELS, SELFTEST_OPERATIONS)
    _let_everybody_read(destination)


def _let_everybody_read(directory: Path) -> None:
    """The command line puts each file's mode into the archive, and Lambda runs functions as another user.

    The umask of whoever deploys must not decide whether functions can be imported. The asset's hash leaves modes out, so
    that an archive with wrong ones would not be uploaded again.
    """
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _is_needed(file: PurePosixPath) -> bool:
    """Keep code and its data; drop scripts of packages and files that installers and interpreters create."""
    return (
        ".." not in file.parts
        and "__pycache__" not in file.parts
        and not file.parts[0].endswith(".dist-info")
        and not file.is_relative_to(BOTOCORE_DATA)
        and not file.is_relative_to(BOTO3_DATA)
    )
