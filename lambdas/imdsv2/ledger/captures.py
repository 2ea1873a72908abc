"""What was watched on instances: an event before a capture begins, one with the command that was sent, and one with what it found,
beside the instance's record; and, while one is being begun, an item that keeps others from beginning a second one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.ledger.items import CURRENT, is_written, new_id, overtakes, to_text, to_time
from imdsv2.ledger.trail import DECISION, Event, Kind, puts, time_of
from imdsv2.ledger.values import deserialize

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.trail import Provenance

_EVENTS = 200
"""The newest events of an instance among which its last capture is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A command that watches an instance for so many ``seconds``; ``at``: when Systems Manager took it."""

    command_id: str
    seconds: int
    at: datetime
    caller: str | None


class Captures:
    """The events. Methods may raise ClientError."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._provenance = provenance

    def begin(self, arn: InstanceArn, now: datetime, until: datetime, **details: Any) -> bool:
        """Write the event before a watch begins, unless somebody else is just beginning one. ``until``: nobody else may until then, unless
        it is over before. False if somebody else does."""
        write_id = new_id()
        claim = {**_key(arn), "until": {"S": to_text(until)}, "written_by": {"S": write_id}}
        put: Any = {
            "TableName": self._table,
            "Item": claim,
            "ConditionExpression": "attribute_not_exists(pk) OR #until <= :now",
            "ExpressionAttributeNames": {"#until": "until"},
            "ExpressionAttributeValues": {":now": {"S": to_text(now)}},
        }
        event = Event(kind=Kind.CAPTURE_BEGUN, details=details)
        items: Any = [{"Put": put}, *puts(self._table, str(arn), [event], now, self._provenance)]
        try:
            self._dynamodb.transact_write_items(TransactItems=items, ClientRequestToken=write_id)
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            if not overtakes(error):
                raise
            return is_written(self._dynamodb, self._table, _key(arn), write_id)
        return True

    def begun(self, arn: InstanceArn) -> None:
        """It is known whether the watch runs: others may look, and begin one where none does."""
        self._dynamodb.update_item(
            TableName=self._table,
            Key=_key(arn),
            UpdateExpression="SET #until = :past",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={":past": {"S": ""}},
        )

    def add(self, arn: InstanceArn, kind: Kind, now: datetime, **details: Any) -> None:
        """Write one event, which is never changed."""
        event = Event(kind=kind, details=details)
        items: Any = [*puts(self._table, str(arn), [event], now, self._provenance)]
        # A repetition of a call whose answer was lost is known by its token: it writes nothing, and does not fail.
        self._dynamodb.transact_write_items(TransactItems=items, ClientRequestToken=new_id())

    def sent(self, arn: InstanceArn) -> Sent | None:
        """The command that was sent last to watch the instance; None if there is none, or if what it found is known."""
        values = self._newest(arn, Kind.CAPTURE_SENT, Kind.CAPTURED)
        at = to_time(time_of(str(values["sk"]))) if values is not None else None
        if values is None or at is None or values["kind"] != Kind.CAPTURE_SENT:
            return None
        return Sent(
            command_id=str(values["command_id"]), seconds=int(values["seconds"]), at=at, caller=values.get("caller")
        )

    def last(self, arn: InstanceArn) -> dict[str, Any] | None:
        """When the instance was last watched, and what was found; None if it was not, or not lately."""
        values = self._newest(arn, Kind.CAPTURED)
        if values is None:
            return None
        processes = [{**each, "calls": int(each["calls"])} for each in values.get("processes", [])]
        return {"at": time_of(str(values["sk"])), "caller": values.get("caller"), "processes": processes}

    def _newest(self, arn: InstanceArn, *kinds: Kind) -> dict[str, Any] | None:
        """The newest event of these kinds, among the newest of the instance."""
        names = {f":kind{number}": {"S": str(kind)} for number, kind in enumerate(kinds)}
        page = self._dynamodb.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :decision)",
            FilterExpression=f"kind IN ({', '.join(names)})",
            ExpressionAttributeValues={":pk": {"S": str(arn)}, ":decision": {"S": DECISION}, **names},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=_EVENTS,
        )
        found = ({name: deserialize(value) for name, value in item.items()} for item in page.get("Items", []))
        return next(found, None)


def _key(arn: InstanceArn) -> dict[str, Any]:
    return {"pk": {"S": f"capture#{arn}"}, "sk": {"S": CURRENT}}
