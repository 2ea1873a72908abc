"""The code that is deployed: our handlers and the few pure-Python packages that they import, without Docker."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path, PurePosixPath

from infra.botocore_data import prune
from infra.service_models import OPERATIONS

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
"""What the handlers import, and what that imports. Of boto3 that is its DynamoDB types; sessions are botocore's own,
which start faster."""

BOTOCORE_DATA = PurePosixPath("botocore/data")
BOTO3_DATA = PurePosixPath("boto3/data")
"""Models of boto3's resources, which nothing here uses."""


def assemble(destination: Path) -> None:
    """Fill an empty directory with the asset. The same sources give the same bytes, so the same asset hash."""
    shutil.copytree(LAMBDAS, destination, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for package in PACKAGES:
        for file in metadata.files(package) or ():
            if _is_needed(file):
                target = destination / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    prune(
        Path(str(metadata.distribution("botocore").locate_file(BOTOCORE_DATA))), destination / BOTOCORE_DATA, OPERATIONS
    )


def _is_needed(file: PurePosixPath) -> bool:
    """Code and its data; not scripts beside the packages, nor what installers and interpreters leave behind."""
    return (
        ".." not in file.parts
        and "__pycache__" not in file.parts
        and not file.parts[0].endswith(".dist-info")
        and not file.is_relative_to(BOTOCORE_DATA)
        and not file.is_relative_to(BOTO3_DATA)
    )
