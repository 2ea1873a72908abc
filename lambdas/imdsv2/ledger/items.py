"""What all items of the ledger's table share: the form of times and keys, and writes that nobody has overtaken."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import Placed

CURRENT = "current"
"""The sort key of an item that is changed in place."""

serialize = TypeSerializer().serialize
deserialize = TypeDeserializer().deserialize


def account_key(there: Placed) -> str:
    """How the ledger names an account: ``<partition>/<account>``."""
    return f"{there.partition}/{there.account}"


def to_text(when: datetime) -> str:
    """The one form of time in the ledger: UTC, of fixed width, so that it sorts."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_time(text: str | None) -> datetime | None:
    """The time that stands in the ledger, or None where none does."""
    return datetime.fromisoformat(text) if text else None


def put_unless_overtaken(
    dynamodb: DynamoDBClient, table: str, key: Mapping[str, Any], version: int, attributes: Mapping[str, Any]
) -> bool:
    """Put an item whose version when it was read was ``version`` (0: there was none); False where it has changed since.

    Attributes of None are left out. Raises ClientError.
    """
    item = {name: serialize(value) for name, value in attributes.items() if value is not None}
    condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
    if version:
        condition = {
            "ConditionExpression": "version = :version",
            "ExpressionAttributeValues": {":version": {"N": str(version)}},
        }
    try:
        dynamodb.put_item(TableName=table, Item={**key, **item, "version": {"N": str(version + 1)}}, **condition)
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


def pause(attempt: int) -> None:
    """Wait before another attempt, longer each time (at most 2 s), and not in step with others."""
    time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))  # noqa: S311 - jitter, not a secret
