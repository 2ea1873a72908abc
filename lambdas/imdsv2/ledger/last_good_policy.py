"""The last valid policy, in one item of the ledger: what verdicts follow while the parameter cannot be used."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from imdsv2.ledger.items import CURRENT, to_text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEY = {"pk": {"S": "policy"}, "sk": {"S": CURRENT}}


@dataclass(frozen=True, slots=True)
class LastGoodPolicy:
    """The item of the last valid policy. Every method may raise ClientError."""

    dynamodb: DynamoDBClient
    table: str

    def keep(self, document: str, read_at: datetime, version: int, modified_at: datetime) -> None:
        """Save a valid policy, unless a newer one, or a later reading of it, is there: it never goes back.

        ``version`` and ``modified_at`` are those of the parameter: a parameter that was deleted and created anew begins
        at version 1 again, but later.
        """
        reading = f"{to_text(modified_at)} {version:010} {to_text(read_at)}"
        item = {**_KEY, "document": {"S": document}, "read_at": {"S": to_text(read_at)}, "reading": {"S": reading}}
        with contextlib.suppress(self.dynamodb.exceptions.ConditionalCheckFailedException):
            self.dynamodb.put_item(
                TableName=self.table,
                Item=item,
                ConditionExpression="attribute_not_exists(reading) OR reading <= :reading",
                ExpressionAttributeValues={":reading": {"S": reading}},
            )

    def read(self) -> tuple[str, datetime] | None:
        """The policy as JSON text, and when it was read; None if there is none."""
        item = self.dynamodb.get_item(TableName=self.table, Key=_KEY, ConsistentRead=True).get("Item")
        return (item["document"]["S"], datetime.fromisoformat(item["read_at"]["S"])) if item else None
