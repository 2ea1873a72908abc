"""Reads the file of the fleet from the sweep's bucket; docs/fleet.md describes it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from imdsv2_cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from imdsv2_cli.base import App

Row = dict[str, str]
_PLACE = ("account", "region")
_AT_ONCE = 2**17
"""Bytes that are unpacked at a time: text alone would ask for 8 KiB of them, four thousand times for a large fleet."""


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


def rows(app: App, document: Mapping[str, Any], columns: Collection[str] = ()) -> Iterator[Row] | None:
    """The rows of the file that a document names; None if the bucket has forgotten it.

    ``columns``: at least two that are wanted; all of them otherwise. A row of a few takes half the time.
    """
    from imdsv2.domain.fleet_file import COLUMNS

    body = _read(app, document["key"])
    return None if body is None else _unpacked(body, columns or COLUMNS)


def _unpacked(body: bytes, columns: Collection[str]) -> Iterator[Row]:
    """The rows with every column that is wanted: a service that was not upgraded yet, or has not swept since, wrote fewer."""
    packed = io.BufferedReader(gzip.GzipFile(fileobj=io.BytesIO(body)), _AT_ONCE)
    with packed, io.TextIOWrapper(packed, "utf-8", newline="") as text:
        listed = csv.reader(text)  # Its DictReader would take twice the time.
        names = next(listed, [])
        there = [name for name in names if name in columns]
        of_these = itemgetter(*map(names.index, there))
        lacking = dict.fromkeys(set(columns) - set(there), "")
        for values in listed:
            row = dict(zip(there, of_these(values), strict=True))
            yield {**lacking, **row} if lacking else row


def places(app: App) -> list[tuple[str, str]] | None:
    """The accounts and Regions in which the last sweep saw instances, sorted; None before the first sweep. Raises Failure."""
    document = newest(app)
    listed = rows(app, document, _PLACE) if document is not None else None
    return None if listed is None else sorted({(each["account"], each["region"]) for each in listed})


def _read(app: App, key: str) -> bytes | None:
    from botocore.exceptions import ClientError

    try:
        body: bytes = app.client("s3").get_object(Bucket=app.stack_output("SweepBucketName"), Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise
    return body
