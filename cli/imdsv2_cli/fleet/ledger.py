"""Reads the ledger by its indexes and keys, for the view of the fleet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from imdsv2.ledger.record import Record
    from imdsv2_cli.base import App

_CALLS_AT_ONCE = 16
_READS_A_CALL = 100
_INSTANCE = "arn:"


def changed_since(app: App, since: str, now: datetime) -> dict[str, str]:
    """The instances of which the trail tells anything since a time, by ARN, each with the time of the newest event."""
    from datetime import datetime

    from imdsv2.ledger.items import to_text
    from imdsv2.ledger.trail import DECISION, EVENT, TRAIL_INDEX, time_of, trail_days

    def read(day: str) -> dict[str, str]:
        found: dict[str, str] = {}
        values = {":day": day, ":first": f"{DECISION}{since}", ":last": f"{EVENT}{to_text(now)}~"}
        for item in _query(app, TRAIL_INDEX, "trail_day = :day AND sk BETWEEN :first AND :last", values, "pk, sk"):
            pk, at = item["pk"]["S"], time_of(item["sk"]["S"])
            if pk.startswith(_INSTANCE) and at >= since:
                found[pk] = max(found.get(pk, ""), at)
        return found

    changed: dict[str, str] = {}
    for some in _at_once(app, read, trail_days(datetime.fromisoformat(since), now)):
        # The events of one instance may lie in the partitions of several days.
        changed |= {pk: max(at, changed.get(pk, "")) for pk, at in some.items()}
    return changed


def known(app: App) -> set[str]:
    """The ARNs of all instances that wait for anything, or that the service has enforced."""
    from imdsv2.ledger.indexes import DUE_INDEX, ENFORCED_INDEX
    from imdsv2.ledger.serialisation import REVISIT_SHARDS

    def due(shard: int) -> list[str]:
        return [each["pk"]["S"] for each in _query(app, DUE_INDEX, "revisit_shard = :shard", {":shard": shard}, "pk")]

    def enforced(account: str) -> list[str]:
        found = _query(app, ENFORCED_INDEX, "enforced_in = :account", {":account": account}, "pk")
        return [each["pk"]["S"] for each in found]

    waiting = _at_once(app, due, range(REVISIT_SHARDS))
    changed = _at_once(app, enforced, [each["sk"]["S"] for each in accounts(app)])
    return {arn for several in (*waiting, *changed) for arn in several}


def records(app: App, arns: Iterable[str]) -> Iterator[Record]:
    """The current records of instances; those that the ledger does not know are left out."""
    from imdsv2.ledger.items import CURRENT
    from imdsv2.ledger.serialisation import record_from

    table, wanted = app.stack_output("LedgerTableName"), sorted(arns)

    def read(batch: list[str]) -> list[Record]:
        asked: Any = {table: {"Keys": [{"pk": {"S": arn}, "sk": {"S": CURRENT}} for arn in batch]}}
        found: list[Record] = []
        while asked:
            answer = app.client("dynamodb").batch_get_item(RequestItems=asked)
            found += map(record_from, answer["Responses"].get(table, []))
            asked = answer.get("UnprocessedKeys")
        return found

    batches = [wanted[first : first + _READS_A_CALL] for first in range(0, len(wanted), _READS_A_CALL)]
    for several in _at_once(app, read, batches):
        yield from several


def accounts(app: App) -> list[Mapping[str, Any]]:
    """The items of all accounts in which anything was enforced."""
    return list(_query(app, None, "pk = :pk", {":pk": "accounts"}))


def sources(app: App) -> list[dict[str, Any]]:
    """The items of all sources that the service has changed, as plain values."""
    return [plain(each) for each in _query(app, None, "pk = :pk", {":pk": "sources"})]


def events(app: App, pk: str) -> list[dict[str, Any]]:
    """The events of one instance, account or cohort, in order; plain values by the names of attributes."""
    from imdsv2.ledger.trail import DECISION, EVENT, time_of

    span = {":first": DECISION, ":last": f"{EVENT}~"}
    found = _query(app, None, "pk = :pk AND sk BETWEEN :first AND :last", {":pk": pk, **span})
    return sorted((plain(each) for each in found), key=lambda each: time_of(each["sk"]))


def item(app: App, pk: str, sk: str = "current") -> dict[str, Any]:
    """One item, as plain values; empty if there is none."""
    key = {"pk": {"S": pk}, "sk": {"S": sk}}
    answer = app.client("dynamodb").get_item(TableName=app.stack_output("LedgerTableName"), Key=key)
    return plain(answer.get("Item", {}))


def plain(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An item's attributes as plain values."""
    from imdsv2.ledger.values import deserialize

    return {name: deserialize(value) for name, value in raw.items()}


def _query(
    app: App, index: str | None, condition: str, values: Mapping[str, object], attributes: str = ""
) -> Iterator[Mapping[str, Any]]:
    from imdsv2.ledger.values import serialize

    request: dict[str, Any] = {
        "TableName": app.stack_output("LedgerTableName"),
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": {name: serialize(value) for name, value in values.items()},
        **({"IndexName": index} if index else {}),
        **({"ProjectionExpression": attributes} if attributes else {}),
    }
    while True:
        answer = app.client("dynamodb").query(**request)
        yield from answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _at_once(app: App, read: Any, asked: Iterable[Any]) -> list[Any]:
    """What several reads answer, in their order. What the threads share is made before them."""
    app.client("dynamodb"), app.stack_output("LedgerTableName")
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        return list(pool.map(read, asked))
