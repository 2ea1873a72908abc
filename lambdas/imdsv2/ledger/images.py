"""What people had the service do to AMIs: events only, one before the call to EC2 and one with its outcome."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from imdsv2.ledger.items import to_text
from imdsv2.ledger.values import serialize
from imdsv2.version import VERSION

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import Placed

REQUIRING, REQUIRED, FAILED = "requiring", "required", "failed"


class ImageEvents:
    """The events. Every method may raise ClientError."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def add(self, place: Placed, image_id: str, status: str, now: datetime, **said: Any) -> None:
        """Write one event, which is never changed."""
        key = f"image#{place.partition}/{place.account}/{place.region}/{image_id}"
        values = {
            "pk": key,
            "sk": f"event#{to_text(now)}#{uuid.uuid4().hex[:12]}",
            "status": status,
            "service_version": VERSION,
            **said,
        }
        item = {name: serialize(value) for name, value in values.items() if value is not None}
        self._dynamodb.put_item(TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(pk)")
