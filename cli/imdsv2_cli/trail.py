"""Reads the audit trail and what waits in the ledger, by its indexes: nothing is scanned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from imdsv2_cli.base import App

Item = dict[str, Any]

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
"""Earlier than any event: each day before it would be asked for in vain."""

_CALLS_AT_ONCE = 16
_READS_A_CALL = 100


def events(
    app: App, since: datetime, until: datetime, is_wanted: Callable[[Item], bool], advance: Callable[[int], None]
) -> list[Item]:
    """The events between two times that are wanted, in their order; plain values by the names of attributes."""
    from imdsv2.ledger.items import to_text
    from imdsv2.ledger.trail import DECISION, EVENT, TRAIL_INDEX, time_of, trail_days

    first, last = to_text(since), to_text(until)
    span = {":first": f"{DECISION}{first}", ":last": f"{EVENT}{last}~"}

    def read(day: str) -> list[Item]:
        found = _query(app, TRAIL_INDEX, "trail_day = :day AND sk BETWEEN :first AND :last", {":day": day, **span})
        wanted = [each for each in found if first <= time_of(each["sk"]) <= last and is_wanted(each)]
        advance(1)
        return wanted

    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        days = pool.map(read, trail_days(since, until))
        return sorted(
            (each for day in days for each in day), key=lambda each: (time_of(each["sk"]), each["pk"], each["sk"])
        )


def waiting(app: App, is_wanted: Callable[[str], bool], advance: Callable[[int], None]) -> list[Item]:
    """The records of instances that wait for anything, by their ARN; plain values by the names of attributes."""
    from imdsv2.ledger.indexes import DUE_INDEX
    from imdsv2.ledger.serialisation import REVISIT_SHARDS

    def ids(shard: int) -> list[str]:
        found = _query(app, DUE_INDEX, "revisit_shard = :shard", {":shard": shard})
        advance(1)
        return [each["pk"] for each in found if is_wanted(each["pk"])]

    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        arns = sorted(arn for shard in pool.map(ids, range(REVISIT_SHARDS)) for arn in shard)
        batches = [arns[first : first + _READS_A_CALL] for first in range(0, len(arns), _READS_A_CALL)]
        return [each for several in pool.map(lambda batch: _records(app, batch), batches) for each in several]


def written_by(app: App, parameter: str, since: datetime, until: datetime) -> list[Mapping[str, Any]]:
    """CloudTrail's events about the policy parameter, newest first. Raises ClientError where the caller may not ask."""
    pages = (
        app.client("cloudtrail")
        .get_paginator("lookup_events")
        .paginate(
            LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": parameter}],
            StartTime=since,
            EndTime=until,
        )
    )
    return [each for page in pages for each in page["Events"] if each.get("EventName") == "PutParameter"]


def _query(app: App, index: str, condition: str, values: Mapping[str, object]) -> Iterator[Item]:
    from imdsv2.ledger.values import serialize

    request: dict[str, Any] = {
        "TableName": app.stack_output("LedgerTableName"),
        "IndexName": index,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": {name: serialize(value) for name, value in values.items()},
    }
    while True:
        answer = app.client("dynamodb").query(**request)
        yield from map(_plain, answer["Items"])
        if not answer.get("LastEvaluatedKey"):
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _records(app: App, arns: Sequence[str]) -> Iterable[Item]:
    from imdsv2.ledger.items import CURRENT

    table = app.stack_output("LedgerTableName")
    wanted: Any = {table: {"Keys": [{"pk": {"S": arn}, "sk": {"S": CURRENT}} for arn in arns]}}
    found: list[Item] = []
    while wanted:
        answer = app.client("dynamodb").batch_get_item(RequestItems=wanted)
        found += map(_plain, answer["Responses"].get(table, []))
        wanted = answer.get("UnprocessedKeys")
    return found


def _plain(item: Mapping[str, Any]) -> Item:
    from imdsv2.ledger.values import deserialize

    return {name: deserialize(value) for name, value in item.items()}
