"""The walk through what waits, after the policy has changed or the change calendar has opened: how far it has come, in one item of
the ledger, and the pages of the index that it goes through."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import InstanceArn
from imdsv2.ledger.indexes import DUE_INDEX
from imdsv2.ledger.items import put_unless_overtaken, to_text, to_time
from imdsv2.ledger.serialisation import REVISIT_SHARDS
from imdsv2.ledger.trail import Provenance, puts
from imdsv2.ledger.values import deserialize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.ledger.trail import Event

_KEY = {"pk": {"S": "policy"}, "sk": {"S": "walk"}}
_LAST = "~"
"""Sorts after every time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What the last walk was made for, and how far it has come.

    ``stamp``, ``document``: the writing of the policy parameter that is known, and its policy. ``refused``: whether the
    parameter has been found to hold no policy since. ``calendar_closed``: whether the change calendar was closed when last
    looked at. ``reasons``: what is being made due; empty when nothing is. ``since``: when that was noticed. ``shard``,
    ``after``: the partition of the index that is being read, and the key after which the next page begins. ``moved``: how many
    have been made due.
    """

    version: int = 0
    stamp: str | None = None
    document: str | None = None
    refused: bool = False
    calendar_closed: bool = False
    reasons: frozenset[str] = frozenset()
    since: datetime | None = None
    shard: int = 0
    after: Mapping[str, Any] | None = None
    moved: int = 0

    @property
    def is_over(self) -> bool:
        return self.shard >= REVISIT_SHARDS


class Walks:
    """The walk's item, and the index of due instances. Every method may raise ClientError."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance | None = None) -> None:
        self._provenance = provenance or Provenance()
        self._dynamodb = dynamodb
        self._table = table

    def read(self) -> Walk:
        """The walk as it stands; an empty one before the first."""
        answer = self._dynamodb.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        item = {name: deserialize(value) for name, value in answer.get("Item", {}).items()}
        if not item:
            return Walk()
        return Walk(
            version=int(item["version"]),
            stamp=item.get("stamp"),
            document=item.get("document"),
            refused=bool(item.get("refused")),
            calendar_closed=bool(item.get("calendar_closed")),
            reasons=frozenset(item.get("reasons", [])),
            since=to_time(item.get("since")),
            shard=int(item["shard"]),
            after=json.loads(item["after"]) if item.get("after") else None,
            moved=int(item["moved"]),
        )

    def save(self, walk: Walk, events: Sequence[Event] = (), now: datetime | None = None) -> bool:
        """Write the walk, unless another invocation has gone on with it; False if so. ``events``: what is told of the policy with it,
        ``now``."""
        attributes = {
            "stamp": walk.stamp,
            "document": walk.document,
            "refused": walk.refused or None,
            "calendar_closed": walk.calendar_closed or None,
            "reasons": sorted(walk.reasons) or None,
            "since": to_text(walk.since) if walk.since else None,
            "shard": walk.shard,
            "after": json.dumps(walk.after) if walk.after else None,
            "moved": walk.moved,
        }
        told = list(puts(self._table, "policy", events, now, self._provenance)) if now else []
        return put_unless_overtaken(self._dynamodb, self._table, _KEY, walk.version, attributes, told)

    def page(
        self, walk: Walk, later_than: datetime, limit: int
    ) -> tuple[dict[InstanceArn, str], Mapping[str, Any] | None]:
        """The next instances that are due later than a time, each with the ``revisit_at`` that `Ledger.claim` requires; and the key
        after which the page after that begins, None where the partition ends."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": DUE_INDEX,
            "KeyConditionExpression": "revisit_shard = :shard AND revisit_at BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":shard": {"N": str(walk.shard)},
                ":first": {"S": to_text(later_than)},
                ":last": {"S": _LAST},
            },
            "Limit": limit,
        }
        if walk.after:
            request["ExclusiveStartKey"] = walk.after
        answer = self._dynamodb.query(**request)
        found = {InstanceArn.parse(each["pk"]["S"]): each["revisit_at"]["S"] for each in answer["Items"]}
        return found, answer.get("LastEvaluatedKey") or None
