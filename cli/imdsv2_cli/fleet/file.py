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
    from collections.abc import Iterator, Mapping, Sequence

    from imdsv2_cli.base import App

Row = dict[str, str]
Values = tuple[str, ...]
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


def rows(app: App, document: Mapping[str, Any], columns: Sequence[str]) -> Iterator[Values] | None:
    """The rows of the file that a document names, each as the values of at least two columns, in their order; None if the bucket has
    forgotten the file."""
    body = _read(app, document["key"])
    return None if body is None else _unpacked(body, columns)


def _unpacked(body: bytes, columns: Sequence[str]) -> Iterator[Values]:
    """The values of every column that is wanted: a service that was not upgraded yet, or has not swept since, wrote fewer."""
    packed = io.BufferedReader(gzip.GzipFile(fileobj=io.BytesIO(body)), _AT_ONCE)
    with packed, io.TextIOWrapper(packed, "utf-8", newline="") as text:
        listed = csv.reader(text)
        where = {name: index for index, name in enumerate(next(listed, []))}
        # Dictionaries of all rows would take as long as the reading.
        if where.keys() >= set(columns):
            yield from map(itemgetter(*(where[name] for name in columns)), listed)
        else:
            yield from (tuple(values[where[name]] if name in where else "" for name in columns) for values in listed)


def places(app: App) -> list[tuple[str, str]] | None:
    """The accounts and Regions in which the last sweep saw instances, sorted; None before the first sweep. Raises Failure."""
    document = newest(app)
    listed = rows(app, document, _PLACE) if document is not None else None
    return None if listed is None else sorted({(account, region) for account, region in listed})


def _read(app: App, key: str) -> bytes | None:
    from botocore.exceptions import ClientError

    try:
        body: bytes = app.client("s3").get_object(Bucket=app.stack_output("SweepBucketName"), Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise
    return body
