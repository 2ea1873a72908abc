"""When the last sweep ended, in one item: the guard tells how long ago that was, so that a sweep which never comes is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.ledger.items import CURRENT, to_text, to_time

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from mypy_boto3_dynamodb import DynamoDBClient

_KEY: dict[str, Any] = {"pk": {"S": "sweep"}, "sk": {"S": CURRENT}}


class Sweeps:
    """The item of the sweep. Every method may raise ClientError."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def ended(self, now: datetime) -> None:
        """Note that a sweep of everything has ended."""
        self._dynamodb.put_item(TableName=self._table, Item={**_KEY, "ended_at": {"S": to_text(now)}})

    def age(self, now: datetime) -> timedelta:
        """How long ago the last sweep ended; before the first, how long it has been awaited."""
        item = self._dynamodb.get_item(TableName=self._table, Key=_KEY).get("Item")
        if item is None:
            self.ended(now)
            return now - now
        return now - (to_time(item["ended_at"]["S"]) or now)
