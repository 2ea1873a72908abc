"""The source items: what the service did to what launches instances. One partition holds them all: there are few, and the guard reads
them together. The events of the trail about a source lie beside its verdict."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from imdsv2.domain.source_fix import FixStatus, Pointer, SourceFix, Step
from imdsv2.ledger.items import put_unless_overtaken, query_all, to_text, to_time
from imdsv2.ledger.source_fix_events import events_of
from imdsv2.ledger.trail import puts
from imdsv2.ledger.values import deserialize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.ledger.trail import Provenance

_SOURCES = "sources"
_TIMES = ("lease_until", "at", "fixed_at", "notice_ends_at", "broken_at")
_TEXTS = (
    *("attempt", "group", "owner", "caller", "because", "request_id"),
    *("broken_by", "undone_by", "hindered_by", "explanation"),
)


class SourceFixes:
    """The source items. Every method may raise ClientError."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._provenance = provenance

    def read(self, key: str) -> SourceFix:
        """The item of a source; one that is not in the ledger is returned empty, with version 0."""
        answer = self._dynamodb.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return _fix(answer["Item"]) if "Item" in answer else SourceFix(key=key)

    def all(self, prefix: str = "") -> list[SourceFix]:
        """All items whose keys begin so."""
        values: dict[str, Any] = {":sources": {"S": _SOURCES}}
        condition = "pk = :sources"
        if prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = {"S": prefix}
        items = query_all(
            self._dynamodb,
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
        )
        return [*map(_fix, items)]

    def save(self, fix: SourceFix) -> SourceFix | None:
        """Write an item, and the events of its change together; as it is then, or None if another writer was there since it was read."""
        attributes: dict[str, Any] = {
            "status": fix.status,
            **{name: getattr(fix, name) or None for name in _TEXTS},
            **{name: to_text(when) if (when := getattr(fix, name)) else None for name in _TIMES},
            "pointers": [asdict(each) for each in fix.pointers] or None,
            "steps": [asdict(each) for each in fix.steps] or None,
            "cohorts": list(fix.cohorts) or None,
            "owes": sorted(fix.owes) or None,
            "past": list(fix.past) or None,
        }
        key, events = _key(fix.key), self._events(fix)
        if not put_unless_overtaken(self._dynamodb, self._table, key, fix.version, attributes, events):
            return None
        return _as_kept(replace(fix, version=fix.version + 1))

    def _events(self, fix: SourceFix) -> list[dict[str, Any]]:
        """What the trail is to tell of the change since the item was read."""
        told = events_of(fix)
        if told is None:
            return []
        at, events = told
        return [*puts(self._table, f"source#{fix.key}", events, at, self._provenance)]


def _key(key: str) -> dict[str, Any]:
    return {"pk": {"S": _SOURCES}, "sk": {"S": key}}


def _fix(item: Mapping[str, Any]) -> SourceFix:
    values = {name: deserialize(value) for name, value in item.items()}
    status = values.get("status")
    texts: dict[str, Any] = {name: values[name] for name in _TEXTS if name in values}
    times: dict[str, Any] = {name: to_time(values.get(name)) for name in _TIMES}
    read = SourceFix(
        key=values["sk"],
        version=int(values["version"]),
        status=FixStatus(status) if status else None,
        pointers=tuple(Pointer(**each) for each in values.get("pointers", [])),
        steps=tuple(_step(each) for each in values.get("steps", [])),
        cohorts=tuple(values.get("cohorts", [])),
        owes=frozenset(values.get("owes", [])),
        past=tuple(values.get("past", [])),
        **texts,
        **times,
    )
    return _as_kept(read)


def _as_kept(fix: SourceFix) -> SourceFix:
    return replace(fix, kept=replace(fix, kept=None))


def _step(kept: Mapping[str, Any]) -> Step:
    numbers = {
        name: int(kept[name])
        for name in ("base", "default", "latest", "made", "restored")
        if kept.get(name) is not None
    }
    return Step(**{**kept, **numbers})
