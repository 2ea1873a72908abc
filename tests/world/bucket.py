"""A bucket in memory, for what the sweep writes and others read."""

from __future__ import annotations

import io
from typing import Any

from tests.world.refusal import refusal


class Bucket:
    """S3 with one bucket, as the service and the command line use it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Key: str, Body: Any, **_: Any) -> dict[str, Any]:  # noqa: N803 - AWS's names
        self.objects[Key] = Body if isinstance(Body, bytes) else Body.read()
        return {}

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803 - AWS's names
        if Key not in self.objects:
            raise refusal("NoSuchKey", "The specified key does not exist.", "GetObject", status=404)
        return {"Body": io.BytesIO(self.objects[Key])}
