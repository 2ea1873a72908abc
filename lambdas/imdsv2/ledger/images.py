"""What people had the service do to AMIs: events of the trail only, one before the call to EC2 and one with its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.ledger.items import new_id
from imdsv2.ledger.trail import Event, Kind, puts

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import Placed
    from imdsv2.ledger.trail import Author, Provenance


class ImageEvents:
    """The events. Every method may raise ClientError."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._provenance = provenance

    def add(self, place: Placed, image_id: str, kind: Kind, now: datetime, by: Author, **details: Any) -> None:
        """Write one event, which is never changed."""
        key = f"image#{place.partition}/{place.account}/{place.region}/{image_id}"
        event = Event(kind=kind, details={**by.said(), **details})
        items: Any = [*puts(self._table, key, [event], now, self._provenance)]
        # A repetition of a call whose answer was lost is known by its token: it writes nothing, and does not fail.
        self._dynamodb.transact_write_items(TransactItems=items, ClientRequestToken=new_id())
