"""The sweep's intermediate results in S3, because a state machine passes at most 256 KB between steps."""

from __future__ import annotations

import gzip
import json
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from botocore.exceptions import ClientError

from imdsv2.aws.errors import error_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

Found = TypeVar("Found")


class SweepFiles:
    """The sweeps' bucket. Every method may raise ClientError; the state machine then retries the step."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def write(self, key: str, document: object) -> None:
        """Write a document as JSON."""
        body = json.dumps(document).encode()
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")

    def read(self, key: str) -> Any:
        """Read a JSON document."""
        return json.loads(self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def write_packed(self, key: str, body: bytes | IO[bytes]) -> None:
        """Write what is compressed with gzip."""
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/gzip")

    def read_packed(self, key: str) -> IO[bytes]:
        """Read what is compressed with gzip, as a stream of what it holds."""
        body: Any = self._s3.get_object(Bucket=self.bucket, Key=key)["Body"]
        return cast("IO[bytes]", gzip.GzipFile(fileobj=body))

    def read_if_there(self, key: str) -> Any:
        """As `read`; None if there is none."""
        return _if_there(lambda: self.read(key))

    def read_packed_if_there(self, key: str) -> IO[bytes] | None:
        """As `read_packed`; None if there is none."""
        return _if_there(lambda: self.read_packed(key))

    def tallies(self, manifest_key: str) -> Iterator[dict[str, Any]]:
        """The outcome of every account and Region, read from the manifest that the state machine's map wrote.

        If the step failed permanently, the tally has no counts, only the place and its error.
        """
        files = self.read(manifest_key)["ResultFiles"]
        for file in files.get("SUCCEEDED", []):
            for each in self.read(file["Key"]):
                yield json.loads(each["Output"])
        for file in files.get("FAILED", []):
            for each in self.read(file["Key"]):
                place = json.loads(each["Input"])["tally"]
                yield {"by_verdict": {}, **place, "error": _cause(each)}


def _if_there(read: Callable[[], Found]) -> Found | None:
    """What is read; None if S3 has no such key, which it tells only those who may list the bucket."""
    try:
        return read()
    except ClientError as error:
        if error_code(error) == "NoSuchKey":
            return None
        raise


def _cause(execution: dict[str, Any]) -> str:
    return f"{execution.get('Error', 'failed')}: {str(execution.get('Cause', ''))[:300]}"
