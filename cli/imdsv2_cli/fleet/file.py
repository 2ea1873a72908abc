"""Reads the file of the fleet from the sweep's bucket; docs/fleet.md describes it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

from imdsv2_cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imdsv2_cli.base import App

Row = dict[str, str]


def newest(app: App) -> Mapping[str, Any] | None:
    """The document that names the newest file; None before the first sweep. Raises Failure if it is of a later version."""
    from imdsv2.domain.fleet_file import LATEST, SCHEMA

    body = _read(app, LATEST)
    document: dict[str, Any] | None = json.loads(body) if body is not None else None
    if document is not None and document["schema"] != SCHEMA:
        raise Failure(
            "the file of the fleet cannot be read",
            f"it has version {document['schema']}, and this command line knows {SCHEMA}",
            "install the command line of the version that is deployed",
        )
    return document


def rows(app: App, document: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of the file that a document names; none if the bucket has forgotten it."""
    body = _read(app, document["key"])
    if body is None:
        return
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed, io.TextIOWrapper(packed, "utf-8", newline="") as text:
        yield from csv.DictReader(text)


def places(app: App) -> list[tuple[str, str]] | None:
    """The accounts and Regions in which the last sweep saw instances, sorted; None before the first sweep. Raises Failure."""
    document = newest(app)
    return None if document is None else sorted({(each["account"], each["region"]) for each in rows(app, document)})


def _read(app: App, key: str) -> bytes | None:
    from botocore.exceptions import ClientError

    try:
        body: bytes = app.client("s3").get_object(Bucket=app.stack_output("SweepBucketName"), Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise
    return body
