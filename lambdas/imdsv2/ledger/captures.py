"""What was watched on instances: an event before a capture begins, and one with what it found, beside the instance's record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.ledger.items import new_id
from imdsv2.ledger.trail import DECISION, Event, Kind, puts, time_of
from imdsv2.ledger.values import deserialize

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.trail import Provenance

_EVENTS = 200
"""The newest events of an instance among which its last capture is looked for."""


class Captures:
    """The events. Methods may raise ClientError."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._provenance = provenance

    def add(self, arn: InstanceArn, kind: Kind, now: datetime, **details: Any) -> None:
        """Write one event, which is never changed."""
        event = Event(kind=kind, details=details)
        items: Any = [*puts(self._table, str(arn), [event], now, self._provenance)]
        # A repetition of a call whose answer was lost is known by its token: it writes nothing, and does not fail.
        self._dynamodb.transact_write_items(TransactItems=items, ClientRequestToken=new_id())

    def last(self, arn: InstanceArn) -> dict[str, Any] | None:
        """When the instance was last watched, and what was found; None if it was not, or not lately."""
        page = self._dynamodb.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :decision)",
            FilterExpression="kind = :captured",
            ExpressionAttributeValues={
                ":pk": {"S": str(arn)},
                ":decision": {"S": DECISION},
                ":captured": {"S": str(Kind.CAPTURED)},
            },
            ScanIndexForward=False,
            Limit=_EVENTS,
        )
        for item in page.get("Items", []):
            values = {name: deserialize(value) for name, value in item.items()}
            processes = [{**each, "calls": int(each["calls"])} for each in values.get("processes", [])]
            return {"at": time_of(str(values["sk"])), "caller": values.get("caller"), "processes": processes}
        return None
