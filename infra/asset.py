"""The deployed code, built without Docker: the handlers and the few pure-Python packages that they import."""

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
"""Packages that the handlers import, with their dependencies. Of boto3, only its DynamoDB types; sessions are
botocore's own, which start faster."""

BOTOCORE_DATA = PurePosixPath("botocore/data")
BOTO3_DATA = PurePosixPath("boto3/data")
"""Models of boto3's resources, which the service does not use."""


def assemble(destination: Path) -> None:
    """Fill an empty directory with the asset. The same sources give the same bytes, and so the same asset hash."""
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
    """Keep code and its data; drop scripts of packages and files that installers and interpreters create."""
    return (
        ".." not in file.parts
        and "__pycache__" not in file.parts
        and not file.parts[0].endswith(".dist-info")
        and not file.is_relative_to(BOTOCORE_DATA)
        and not file.is_relative_to(BOTO3_DATA)
    )
