"""The ledger table in DynamoDB: what the service did and why. Written before EC2 is changed; decides who may act.

One ``current`` item per instance, with optimistic locking on ``version``: a writer with a stale version fails and
evaluates again. One immutable ``event#`` item per status change. Several instances share a transaction.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.lifecycle import check
from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import CURRENT, pause, serialize, to_text
from imdsv2.ledger.record import OPEN, OVER, Record, key_of
from imdsv2.ledger.serialisation import (
    REVISIT_SHARDS,
    age,
    changed_attributes,
    enforced_from,
    finding_item,
    record_from,
    stored,
)
from imdsv2.ledger.transactions import Transactions
from imdsv2.ledger.update import Update

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.request import Finding
    from imdsv2.ledger.record import Change, Enforced, Told


FINDINGS_KEPT = 200
DUE_INDEX = "due"
ENFORCED_INDEX = "enforced"

_POLICY_KEY = {"pk": {"S": "policy"}, "sk": {"S": CURRENT}}
_READS_A_CALL = 100
_CALLS_AT_ONCE = 4
_ATTEMPTS = 8


class Ledger:
    """The ledger table. Every method may raise ClientError; the message is then retried."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._transactions = Transactions(dynamodb)

    def read(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Record]:
        """Read the current items consistently; an instance without one gets an empty record."""
        records = {arn: Record(arn=arn) for arn in arns}
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            for read in pool.map(self._read, _batches(records, _READS_A_CALL)):
                records |= {record.arn: record for record in read}
        return records

    def _read(self, batch: Iterable[InstanceArn]) -> list[Record]:
        records: list[Record] = []
        wanted: Any = {self._table: {"Keys": [_key(arn) for arn in batch], "ConsistentRead": True}}
        for attempt in range(_ATTEMPTS):
            answer = self._dynamodb.batch_get_item(RequestItems=wanted)
            records += map(record_from, answer["Responses"].get(self._table, []))
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                return records
            pause(attempt)
        raise LedgerContended("DynamoDB keeps leaving reads of the ledger undone; they are tried again")

    def write(self, changes: Sequence[Change], now: datetime) -> set[InstanceArn]:
        """Write changes conditionally. Returns the instances whose item has changed since it was read."""
        return self._transactions.run({change.arn: self._actions(change, now) for change in changes})

    def add_finding(self, record: Record, finding: Finding) -> Record | None:
        """Add a finding to an item that another invocation works on. Returns the new record, None if it is gone."""
        update = Update()
        self._merge_findings(update, record, (finding,))
        update.require("attribute_exists(pk)")
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table, Key=_key(record.arn), ReturnValues="ALL_NEW", **update.arguments()
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return None
            raise
        return record_from(answer["Attributes"])

    def mark_told(self, told: Mapping[InstanceArn, Told], now: datetime) -> None:
        """Record which findings are annotated and whether people were notified.

        If the verdict has changed in the meantime, its findings are marked as not annotated, because this note may have
        overwritten the newer one.
        """
        lost = self._transactions.run(self._marks(told, now))
        overwritten = {}
        for arn in lost:
            update = Update()
            for key in told[arn].annotated:
                update.remove_path(f"findings.{update.name(key)}.annotated_at")
                update.require(f"attribute_exists(findings.{update.name(key)})")
            if told[arn].annotated:
                overwritten[arn] = [self._update_action(arn, update)]
        self._transactions.run(overwritten)

    def _marks(self, told: Mapping[InstanceArn, Told], now: datetime) -> dict[InstanceArn, list[dict[str, Any]]]:
        actions = {}
        for arn, each in told.items():
            update = Update()
            update.require(f"version = {update.value(each.record.version)}")
            if each.notified:
                update.set("notified_at", to_text(now))
            for key in each.annotated:
                path = f"findings.{update.name(key)}"
                update.require(f"attribute_exists({path})")
                update.set_path(f"{path}.annotated_at", to_text(now))
            if each.notified or each.annotated:
                actions[arn] = [self._update_action(arn, update)]
        return actions

    def due(self, now: datetime, limit: int) -> dict[InstanceArn, str]:
        """Instances due for evaluation, longest overdue first, each with the ``revisit_at`` that `claim` requires."""
        found: list[tuple[str, InstanceArn]] = []
        for shard in range(REVISIT_SHARDS):
            answer = self._dynamodb.query(
                TableName=self._table,
                IndexName=DUE_INDEX,
                KeyConditionExpression="revisit_shard = :shard AND revisit_at <= :now",
                ExpressionAttributeValues={":shard": {"N": str(shard)}, ":now": {"S": to_text(now)}},
                Limit=limit,
            )
            found += [(item["revisit_at"]["S"], InstanceArn.parse(item["pk"]["S"])) for item in answer["Items"]]
        return {arn: revisit_at for revisit_at, arn in sorted(found)[:limit]}

    def claim(self, due: Mapping[InstanceArn, str], until: datetime) -> list[InstanceArn]:
        """Claim due instances for this run; those that were claimed or evaluated in the meantime are left out."""
        actions = {}
        for arn, revisit_at in due.items():
            update = Update()
            update.require(f"revisit_at = {update.value(revisit_at)}")
            update.set("revisit_at", to_text(until))
            actions[arn] = [self._update_action(arn, update)]
        lost = self._transactions.run(actions)
        return [arn for arn in due if arn not in lost]

    def watched(self, account: str) -> list[Enforced]:
        """The instances under watch in an account (``<partition>/<account>``)."""
        return self._enforced(account, f"{OPEN}#", f"{OPEN}#~")

    def enforced_since(self, account: str, since: datetime) -> list[Enforced]:
        """The instances enforced in an account (``<partition>/<account>``) since a time, under watch or not."""
        return [
            each
            for watch in (OPEN, OVER)
            for each in self._enforced(account, f"{watch}#{to_text(since)}", f"{watch}#~")
        ]

    def _enforced(self, account: str, first: str, last: str) -> list[Enforced]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": ENFORCED_INDEX,
            "KeyConditionExpression": "enforced_in = :account AND enforced_key BETWEEN :first AND :last",
            "ExpressionAttributeValues": {":account": {"S": account}, ":first": {"S": first}, ":last": {"S": last}},
        }
        return [enforced_from(item) for item in self._all(request)]

    def waiting(self, account: str) -> list[InstanceArn]:
        """The instances of an account (``<partition>/<account>``) that have a revisit time."""
        partition, _, number = account.partition("/")
        found: list[InstanceArn] = []
        for shard in range(REVISIT_SHARDS):
            request: dict[str, Any] = {
                "TableName": self._table,
                "IndexName": DUE_INDEX,
                "KeyConditionExpression": "revisit_shard = :shard",
                "FilterExpression": "begins_with(pk, :partition) AND contains(pk, :account)",
                "ExpressionAttributeValues": {
                    ":shard": {"N": str(shard)},
                    ":partition": {"S": f"arn:{partition}:"},
                    ":account": {"S": f":{number}:"},
                },
            }
            found += [InstanceArn.parse(item["pk"]["S"]) for item in self._all(request)]
        return sorted(found)

    def _all(self, request: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        while True:
            answer = self._dynamodb.query(**request)
            yield from answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def keep_policy(self, document: str, now: datetime) -> None:
        """Save the last valid policy."""
        item = {**_POLICY_KEY, "document": {"S": document}, "read_at": {"S": to_text(now)}}
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def last_good_policy(self) -> tuple[str, datetime] | None:
        """The last valid policy as JSON text, and when it was read; None if there is none."""
        item = self._dynamodb.get_item(TableName=self._table, Key=_POLICY_KEY, ConsistentRead=True).get("Item")
        return (item["document"]["S"], datetime.fromisoformat(item["read_at"]["S"])) if item else None

    def _actions(self, change: Change, now: datetime) -> list[dict[str, Any]]:
        before, after = change.before, change.after
        update = Update()
        if before.version:
            update.require(f"version = {update.value(before.version)}")
        else:
            update.require("attribute_not_exists(pk)")
        for name, value in changed_attributes(before, after).items():
            update.set(name, value)
        update.set("version", before.version + 1)
        self._merge_findings(update, before, change.findings)
        actions = [self._update_action(change.arn, update)]
        if after.status is not None and after.status != before.status:
            check(before.status, after.status)
            actions.append(self._event(change, now))
        return actions

    def _update_action(self, arn: InstanceArn, update: Update) -> dict[str, Any]:
        return {"Update": {"TableName": self._table, "Key": _key(arn), **update.arguments()}}

    def _event(self, change: Change, now: datetime) -> dict[str, Any]:
        said = {name: stored(getattr(change.after, name)) for name in change.says}
        item = {name: value for name, value in said.items() if value is not None}
        item |= {"pk": str(change.arn), "sk": f"event#{to_text(now)}#{uuid.uuid4().hex[:12]}"}
        encoded = {name: serialize(value) for name, value in item.items()}
        return {"Put": {"TableName": self._table, "Item": encoded, "ConditionExpression": "attribute_not_exists(pk)"}}

    def _merge_findings(self, update: Update, record: Record, findings: Sequence[Finding]) -> None:
        merged = {**record.findings, **{key_of(finding): finding for finding in findings}}
        kept = set(sorted(merged, key=lambda key: age(merged[key]), reverse=True)[:FINDINGS_KEPT])
        new = {key: finding_item(finding) for finding in findings if (key := key_of(finding)) in kept}
        if not record.version:
            update.set("findings", new)
            return
        for key, item in new.items():
            update.set_path(f"findings.{update.name(key)}", item)
        for key in record.findings.keys() - kept:
            update.remove_path(f"findings.{update.name(key)}")


def _key(arn: InstanceArn) -> dict[str, Any]:
    return {"pk": {"S": str(arn)}, "sk": {"S": CURRENT}}


def _batches(items: Iterable[InstanceArn], size: int) -> Iterator[list[InstanceArn]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
