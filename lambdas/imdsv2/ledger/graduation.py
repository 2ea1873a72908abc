"""The items of places whose metadata defaults were locked: what was before, who asked, and an event of the trail for each change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imdsv2.domain.graduation import Graduation
from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import CURRENT, is_written, new_id, to_text, to_time
from imdsv2.ledger.trail import Event, Kind, puts
from imdsv2.ledger.values import deserialize, serialize

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import Placed
    from imdsv2.ledger.trail import Author, Provenance


class Graduations:
    """The items. Methods may raise ClientError or LedgerContended."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._provenance = provenance

    def of(self, place: Placed) -> Graduation:
        """What the ledger says of a place; empty, with version 0, if it does not know it."""
        item = self._dynamodb.get_item(TableName=self._table, Key=_key(place), ConsistentRead=True).get("Item")
        return Graduation(place=place) if item is None else _graduation(place, item)

    def save(self, known: Graduation, now: datetime, by: Author) -> Graduation:
        """Write a place's item, and the event of the change, together. ``by``: who asks for it. Raises LedgerContended if somebody else has changed it."""
        write_id = new_id()
        changed = replace(known, version=known.version + 1, at=now)
        attributes = {
            "status": changed.status,
            "before": dict(changed.before),
            "wanted": dict(changed.wanted),
            "caller": changed.by,
            "at": to_text(now),
            "error": changed.error,
            "written_by": write_id,
        }
        named = {name: serialize(value) for name, value in attributes.items() if value is not None}
        version = {"version": {"N": str(changed.version)}}
        unchanged: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if known.version:
            unchanged = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"N": str(known.version)}},
            }
        said = {
            **by.said(),
            "status": changed.status,
            "before": dict(changed.before) or None,
            "after": dict(changed.wanted) or None,
            "explanation": f"EC2 refused, or did not answer ({changed.error})." if changed.error else None,
        }
        event = Event(kind=Kind(f"defaults_{changed.status}"), details=said)
        current: Any = {"TableName": self._table, "Item": {**_key(known.place), **named, **version}, **unchanged}
        pk = str(_key(known.place)["pk"]["S"])
        told: Any = [*puts(self._table, pk, [event], now, self._provenance)]
        try:
            self._dynamodb.transact_write_items(TransactItems=[{"Put": current}, *told], ClientRequestToken=write_id)
        except self._dynamodb.exceptions.TransactionCanceledException:
            if not is_written(self._dynamodb, self._table, _key(known.place), write_id):
                raise LedgerContended("somebody else is changing the defaults of this account and Region") from None
        return changed


def _key(place: Placed) -> dict[str, Any]:
    return {"pk": {"S": f"defaults#{place.partition}/{place.account}/{place.region}"}, "sk": {"S": CURRENT}}


def _graduation(place: Placed, item: Mapping[str, Any]) -> Graduation:
    values = {name: deserialize(value) for name, value in item.items()}
    return Graduation(
        place=place,
        version=int(values["version"]),
        status=values.get("status"),
        before=_options(values.get("before", {})),
        wanted=_options(values.get("wanted", {})),
        by=values.get("caller"),
        at=to_time(values.get("at")),
        error=values.get("error"),
    )


def _options(kept: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB's numbers are decimals."""
    return {name: value if isinstance(value, str) else int(value) for name, value in kept.items()}
