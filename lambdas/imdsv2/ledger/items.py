"""Shared by all items of the ledger table: keys, time format, and conditional writes (optimistic locking)."""

from __future__ import annotations

import random
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.errors import LedgerContended
from imdsv2.ledger.values import serialize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import InstanceArn, Placed

CURRENT = "current"
"""The sort key of items that are updated in place."""

_READ_ATTEMPTS = 12

_OVERTAKEN = {"ConditionalCheckFailed", "TransactionConflict"}
"""Why DynamoDB cancels a transaction when another one was quicker."""


def account_key(there: Placed) -> str:
    """The ledger's key of an account: ``<partition>/<account>``."""
    return f"{there.partition}/{there.account}"


def record_key(arn: InstanceArn) -> dict[str, Any]:
    """The key of an instance's record."""
    return {"pk": {"S": str(arn)}, "sk": {"S": CURRENT}}


def to_text(when: datetime) -> str:
    """Format a time for the ledger: UTC, fixed width, so that it sorts as text."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def to_time(text: str | None) -> datetime | None:
    """Parse a time from the ledger; None if there is none."""
    return datetime.fromisoformat(text) if text else None


def new_id() -> str:
    """An id for a write, or for what it writes: a write whose answer was lost is recognised by it."""
    return str(uuid.uuid4())


def read_batch(dynamodb: DynamoDBClient, table: str, keys: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Read items consistently in one call, and again what DynamoDB leaves undone. ``keys``: at most 100, none twice. Items that do not
    exist are left out. Raises ClientError, or LedgerContended if some are left undone again and again."""
    found: list[Mapping[str, Any]] = []
    wanted: Any = {table: {"Keys": keys, "ConsistentRead": True}}
    for attempt in range(_READ_ATTEMPTS):
        answer = dynamodb.batch_get_item(RequestItems=wanted)
        found += answer["Responses"].get(table, [])
        wanted = answer.get("UnprocessedKeys")
        if not wanted:
            return found
        pause(attempt)
    raise LedgerContended("DynamoDB keeps leaving reads of the ledger undone; they are tried again")


def query_all(dynamodb: DynamoDBClient, **request: Any) -> Iterator[Mapping[str, Any]]:
    """Every item that a query finds, one page of the answer after another. Raises ClientError."""
    while True:
        answer = dynamodb.query(**request)
        yield from answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def put_unless_overtaken(
    dynamodb: DynamoDBClient,
    table: str,
    key: Mapping[str, Any],
    version: int,
    attributes: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]] = (),
) -> bool:
    """Put an item if its version is still ``version`` (0: it must not exist yet). False if it has changed.

    Attributes whose value is None are omitted. ``events``: what is written in the same transaction, as `trail.puts` gives it.
    Raises ClientError.
    """
    write_id = new_id()
    named = {**attributes, "version": version + 1, "written_by": write_id}
    item = {name: serialize(value) for name, value in named.items() if value is not None}
    condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
    if version:
        condition = {
            "ConditionExpression": "version = :version",
            "ExpressionAttributeValues": {":version": {"N": str(version)}},
        }
    put: Any = {"TableName": table, "Item": {**key, **item}, **condition}
    try:
        if events:
            actions: Any = [{"Put": put}, *events]
            dynamodb.transact_write_items(TransactItems=actions, ClientRequestToken=write_id)
        else:
            dynamodb.put_item(**put)
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return is_written(dynamodb, table, key, write_id)
    except dynamodb.exceptions.TransactionCanceledException as error:
        if not overtakes(error):
            raise
        return is_written(dynamodb, table, key, write_id)
    return True


def overtakes(error: Any) -> bool:
    """Whether DynamoDB cancelled a transaction because another one was quicker."""
    return bool({each.get("Code") for each in error.response.get("CancellationReasons", [])} & _OVERTAKEN)


def is_written(dynamodb: DynamoDBClient, table: str, key: Mapping[str, Any], write_id: str) -> bool:
    """Whether the last write of an item is the one with this id.

    The SDK repeats a request whose answer was lost. If the first one was carried out, it is what the repetition's
    condition fails on. Raises ClientError.
    """
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
    return item.get("written_by", {}).get("S") == write_id


def pause(attempt: int) -> None:
    """Sleep before a retry: exponential backoff with full jitter, at most 2 s."""
    time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))  # noqa: S311 - jitter, not a secret
