"""What the daily digest is made from and remembered by: the events of the trail, and up to when each owner has been told.

The events themselves are what is owed: they are written with every verdict, and stay. One item says up to when all owners have been
told, and one for each owner up to when that one has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imdsv2.ledger.items import CURRENT, put_unless_overtaken, query_all, to_text, to_time
from imdsv2.ledger.trail import DECISION, EVENT, TRAIL_INDEX, time_of, trail_days
from imdsv2.ledger.values import deserialize, serialize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

_PK = "digest"
_KEY: dict[str, Any] = {"pk": {"S": _PK}, "sk": {"S": CURRENT}}
_OWNER = "owner#"


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestState:
    """The digest's item. ``until``: everything up to then has been told, but for owners whose own items say otherwise; None before the
    first. ``is_on``: whether messages were left to the digest then. ``claimed_by``, ``claimed_until``: the run that sends now."""

    version: int = 0
    until: datetime | None = None
    is_on: bool = False
    claimed_by: str | None = None
    claimed_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerTold:
    """Up to when an owner has been told. ``is_owed``: what came since has to be told, though others have been told of later."""

    until: datetime
    is_owed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEvent:
    """What the digest reads of an event. ``at``: as the ledger writes times. ``counts_from``: the same for one that came late, and counts
    from then on."""

    pk: str
    id: str
    at: str
    kind: str
    status: str | None
    reason: str | None
    counts_from: str | None = None


class Digests:
    """The items of the digest. Every method may raise ClientError."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def read(self) -> DigestState:
        """The item as it stands."""
        answer = self._dynamodb.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        item = {name: deserialize(value) for name, value in answer.get("Item", {}).items()}
        return DigestState(
            version=int(item.get("version", 0)),
            until=to_time(item.get("until")),
            is_on=bool(item.get("is_on")),
            claimed_by=item.get("claimed_by"),
            claimed_until=to_time(item.get("claimed_until")),
        )

    def save(self, state: DigestState) -> DigestState | None:
        """Write the item. None if another run has written it since it was read."""
        attributes = {
            "until": to_text(state.until) if state.until else None,
            "is_on": state.is_on or None,
            "claimed_by": state.claimed_by,
            "claimed_until": to_text(state.claimed_until) if state.claimed_until else None,
        }
        is_saved = put_unless_overtaken(self._dynamodb, self._table, _KEY, state.version, attributes)
        return replace(state, version=state.version + 1) if is_saved else None

    def owners(self) -> dict[str, OwnerTold]:
        """All owners that were ever told, or are owed something."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :digest AND begins_with(sk, :owner)",
            "ExpressionAttributeValues": {":digest": {"S": _PK}, ":owner": {"S": _OWNER}},
        }
        items = [
            {name: deserialize(value) for name, value in each.items()} for each in query_all(self._dynamodb, **request)
        ]
        told = {str(each["owner"]): (to_time(each["until"]), bool(each.get("is_owed"))) for each in items}
        return {owner: OwnerTold(until=until, is_owed=is_owed) for owner, (until, is_owed) in told.items() if until}

    def mark(self, owner: str, told: OwnerTold) -> None:
        """Write up to when an owner has been told."""
        # An owner may be called anything, and be longer than a key.
        key = hashlib.sha256(owner.encode()).hexdigest()[:32]
        item = {"pk": _PK, "sk": f"{_OWNER}{key}", "owner": owner, "until": to_text(told.until)}
        marked = item | ({"is_owed": True} if told.is_owed else {})
        self._dynamodb.put_item(TableName=self._table, Item={name: serialize(value) for name, value in marked.items()})

    def events(self, since: datetime, until: datetime) -> Iterator[TrailEvent]:
        """The events between two times, one page of the index after another, in no order."""
        for day in trail_days(since, until):
            for prefix in (DECISION, EVENT):
                request: dict[str, Any] = {
                    "TableName": self._table,
                    "IndexName": TRAIL_INDEX,
                    "KeyConditionExpression": "trail_day = :day AND sk BETWEEN :first AND :last",
                    "ExpressionAttributeValues": {
                        ":day": {"S": day},
                        ":first": {"S": f"{prefix}{to_text(since)}"},
                        ":last": {"S": f"{prefix}{to_text(until)}"},
                    },
                    "ProjectionExpression": "pk, sk, kind, #status, reason",
                    "ExpressionAttributeNames": {"#status": "status"},
                }
                for item in query_all(self._dynamodb, **request):
                    values = {name: str(deserialize(value)) for name, value in item.items()}
                    yield TrailEvent(
                        pk=values["pk"],
                        id=values["sk"].rpartition("#")[2],
                        at=time_of(values["sk"]),
                        kind=values.get("kind", ""),
                        status=values.get("status"),
                        reason=values.get("reason"),
                    )
