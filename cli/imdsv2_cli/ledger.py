"""Reads the ledger's indexes and items. Nothing is scanned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from imdsv2_cli.fleet.ledger import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imdsv2_cli.base import App

_CALLS_AT_ONCE = 8
_ITEMS_A_CALL = 100


def waiting(app: App) -> list[str]:
    """The ARNs of all instances that will be judged again, by the index of what is due."""
    from imdsv2.ledger.indexes import DUE_INDEX
    from imdsv2.ledger.serialisation import REVISIT_SHARDS

    table, dynamodb = app.stack_output("LedgerTableName"), app.client("dynamodb")

    def of_shard(shard: int) -> list[str]:
        pages = dynamodb.get_paginator("query").paginate(
            TableName=table,
            IndexName=DUE_INDEX,
            KeyConditionExpression="revisit_shard = :shard",
            ExpressionAttributeValues={":shard": {"N": str(shard)}},
        )
        return [item["pk"]["S"] for page in pages for item in page["Items"]]

    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        return sorted(arn for arns in pool.map(of_shard, range(REVISIT_SHARDS)) for arn in arns)


def read_attributes(app: App, arns: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Some attributes of the current items of instances; one without an item is missing."""
    table, dynamodb = app.stack_output("LedgerTableName"), app.client("dynamodb")
    projected = {
        "ProjectionExpression": ", ".join(["pk", *(f"#{name}" for name in names)]),
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
    }

    def some(keys: Sequence[str]) -> list[Mapping[str, Any]]:
        asked: Any = {table: {"Keys": [{"pk": {"S": arn}, "sk": {"S": "current"}} for arn in keys], **projected}}
        found: list[Mapping[str, Any]] = []
        while asked:
            answer = dynamodb.batch_get_item(RequestItems=asked)
            found += answer["Responses"].get(table, [])
            asked = answer.get("UnprocessedKeys")
        return found

    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        items = [item for found in pool.map(some, _batches(arns)) for item in found]
    return {str(each["pk"]): each for each in map(plain, items)}


def _batches(arns: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(arns), _ITEMS_A_CALL):
        yield arns[start : start + _ITEMS_A_CALL]
