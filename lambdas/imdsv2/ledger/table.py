"""The ledger table in DynamoDB: what the service did and why. Written before EC2 is changed; decides who may act.

One ``current`` item per instance, with optimistic locking on ``version``: a writer with a stale version fails and
evaluates again. Immutable ``event#`` items tell of every change (`trail`). Several instances share a transaction.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imdsv2.domain.batches import batched
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.lifecycle import check
from imdsv2.errors import IllegalMove
from imdsv2.ledger.change_events import events_of, notice_delivered
from imdsv2.ledger.clocks import in_order
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.findings import chunks, merges
from imdsv2.ledger.items import CURRENT, new_id, query_all, read_batch, to_text
from imdsv2.ledger.record import Record
from imdsv2.ledger.record_values import OPEN, OVER
from imdsv2.ledger.serialisation import (
    REVISIT_SHARDS,
    changed_attributes,
    enforced_from,
    record_from,
)
from imdsv2.ledger.told import due_to_tell
from imdsv2.ledger.trail import Provenance, puts
from imdsv2.ledger.transactions import Transactions, Write, Written
from imdsv2.ledger.update import Update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.request import Finding
    from imdsv2.ledger.change import Change, Enforced, Until
    from imdsv2.ledger.findings import Merge
    from imdsv2.ledger.told import Told


DUE_INDEX = "due"
ENFORCED_INDEX = "enforced"

_POLICY_KEY = {"pk": {"S": "policy"}, "sk": {"S": CURRENT}}
_READS_A_CALL = 100
_CALLS_AT_ONCE = 4


class Ledger:
    """The ledger table. Every method may raise ClientError; the message is then retried. ``provenance``: what its events say of the
    function that writes them."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance | None = None) -> None:
        self.provenance = provenance or Provenance()
        self._dynamodb = dynamodb
        self._table = table
        self._transactions = Transactions(dynamodb)
        # botocore makes the classes of errors at their first use, without a lock: of two threads that come first, one would not
        # recognise its own errors.
        self._condition_failed = dynamodb.exceptions.ConditionalCheckFailedException

    def read(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Record]:
        """Read the current items consistently; an instance without one gets an empty record."""
        records = {arn: Record(arn=arn) for arn in arns}
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            for read in pool.map(self._read, batched(records, _READS_A_CALL)):
                records |= {record.arn: record for record in read}
        return records

    def _read(self, batch: Iterable[InstanceArn]) -> list[Record]:
        return [record_from(item) for item in read_batch(self._dynamodb, self._table, [_key(arn) for arn in batch])]

    def write(self, changes: Sequence[Change], now: datetime) -> Written:
        """Write changes conditionally, each for itself: what cannot be written is returned and keeps no other back."""
        writes: dict[InstanceArn, list[Write]] = {}
        refused: dict[InstanceArn, Exception] = {}
        for change in changes:
            try:
                writes[change.arn] = self._writes(change, now)
            except IllegalMove as error:
                refused[change.arn] = error
        return self._transactions.run(writes) | Written(failed=refused)

    def add_finding(self, record: Record, finding: Finding) -> Record | None:
        """Add a finding to an item that another invocation works on. Returns the new record, None if it is gone.

        A finding that is there by then stays as it is: whoever wrote it may know more of it.
        """
        update = Update()
        merges(record, (finding,))[0].into(update)
        update.require("attribute_exists(pk)")
        update.require(f"attribute_not_exists(findings.{update.name(key_of(finding, record.findings))})")
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table, Key=_key(record.arn), ReturnValues="ALL_NEW", **update.arguments()
            )
        except self._condition_failed:
            known = self.read([record.arn])[record.arn]
            return known if known.version else None
        return record_from(answer["Attributes"])

    def mark_told(self, told: Mapping[InstanceArn, Told], now: datetime) -> Written:
        """Record which findings are annotated and whether people were notified, and what that changes.

        If the verdict has changed in the meantime, its findings are marked as not annotated, because this note may have
        overwritten the newer one, and it is due again within 15 minutes. Returns what could not be recorded: it is still owed.
        """
        marked = self._transactions.run({arn: self._marks(each, now) for arn, each in told.items()})
        unmarked = self._transactions.run({arn: self._unmarks(told[arn]) for arn in marked.overtaken})
        return marked | unmarked | self._transactions.run(self._due_again(marked.overtaken, now))

    def _marks(self, told: Told, now: datetime) -> list[Write]:
        writes = []
        after = told.after(now)
        events = list(
            puts(self._table, str(told.record.arn), notice_delivered(told.record, after), now, self.provenance)
        )
        for number, keys in enumerate(chunks(sorted(told.annotated)) or [[]]):
            update = Update()
            update.require(f"version = {update.value(told.record.version)}")
            changed = changed_attributes(told.record, after)
            changed |= {"notified_at": to_text(now)} if told.notified else {}
            for name, value in changed.items() if number == 0 else ():
                update.set(name, value)
            for key in keys:
                path = f"findings.{update.name(key)}"
                update.require(f"attribute_exists({path})")
                update.set_path(f"{path}.annotated_at", to_text(now))
            if changed or keys:
                update.set("written_by", new_id())
                more = events if number == 0 else []
                writes.append(Write(actions=[self._update_action(told.record.arn, update), *more]))
        return writes

    def _unmarks(self, told: Told) -> list[Write]:
        writes = []
        for keys in chunks(sorted(told.annotated)):
            update = Update()
            for key in keys:
                update.remove_path(f"findings.{update.name(key)}.annotated_at")
                update.require(f"attribute_exists(findings.{update.name(key)})")
            writes.append(Write(actions=[self._update_action(told.record.arn, update)]))
        return writes

    def _due_again(self, arns: Iterable[InstanceArn], now: datetime) -> dict[InstanceArn, list[Write]]:
        """What makes those due that owe a note. Where one has changed once more, whoever changed it tells."""
        writes = {}
        for arn, record in self.read(arns).items() if arns else ():
            update = Update()
            update.require(f"version = {update.value(record.version)}")
            after = due_to_tell(record, record, now, owes=bool(record.owed_notes()))
            for name, value in changed_attributes(record, after).items():
                update.set(name, value)
            if after != record:
                writes[arn] = [Write(actions=[self._update_action(arn, update)])]
        return writes

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

    def claim(self, due: Mapping[InstanceArn, str], until: Until) -> list[InstanceArn]:
        """Claim due instances for this run, or make them due at their times. Those that were claimed or evaluated in the
        meantime are left out, and those that cannot be written: they stay due. Raises if nothing can be written."""
        writes = {}
        for arn, revisit_at in due.items():
            update, write_id = Update(), new_id()
            update.require(f"revisit_at = {update.value(revisit_at)}")
            update.set("revisit_at", to_text(until if isinstance(until, datetime) else until[arn]))
            update.set("written_by", write_id)
            writes[arn] = [Write(actions=[self._update_action(arn, update)], write_id=write_id)]
        claimed = self._transactions.run(writes)
        if due and claimed.failed.keys() == due.keys():
            raise next(iter(claimed.failed.values()))
        return [arn for arn in due if arn not in claimed.lost]

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
        return [enforced_from(item) for item in query_all(self._dynamodb, **request)]

    def waiting(self, account: str | None = None) -> list[InstanceArn]:
        """The instances of an account (``<partition>/<account>``), or of all, that have a revisit time."""
        found: list[InstanceArn] = []
        for shard in range(REVISIT_SHARDS):
            request: dict[str, Any] = {
                "TableName": self._table,
                "IndexName": DUE_INDEX,
                "KeyConditionExpression": "revisit_shard = :shard",
                "ExpressionAttributeValues": {":shard": {"N": str(shard)}},
            }
            if account is not None:
                partition, _, number = account.partition("/")
                request["FilterExpression"] = "begins_with(pk, :partition) AND contains(pk, :account)"
                request["ExpressionAttributeValues"] |= {
                    ":partition": {"S": f"arn:{partition}:"},
                    ":account": {"S": f":{number}:"},
                }
            found += [InstanceArn.parse(item["pk"]["S"]) for item in query_all(self._dynamodb, **request)]
        return sorted(found)

    def keep_policy(self, document: str, read_at: datetime, version: int, modified_at: datetime) -> None:
        """Save the last valid policy, unless a newer one, or a later reading of it, is there: it never goes back.

        ``version`` and ``modified_at`` are those of the parameter: a parameter that was deleted and created anew begins
        at version 1 again, but later.
        """
        reading = f"{to_text(modified_at)} {version:010} {to_text(read_at)}"
        item = {
            **_POLICY_KEY,
            "document": {"S": document},
            "read_at": {"S": to_text(read_at)},
            "reading": {"S": reading},
        }
        with contextlib.suppress(self._condition_failed):
            self._dynamodb.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(reading) OR reading <= :reading",
                ExpressionAttributeValues={":reading": {"S": reading}},
            )

    def last_good_policy(self) -> tuple[str, datetime] | None:
        """The last valid policy as JSON text, and when it was read; None if there is none."""
        item = self._dynamodb.get_item(TableName=self._table, Key=_POLICY_KEY, ConsistentRead=True).get("Item")
        return (item["document"]["S"], datetime.fromisoformat(item["read_at"]["S"])) if item else None

    def _writes(self, change: Change, now: datetime) -> list[Write]:
        """The write of a change, then those of the findings that are too many for it. Raises IllegalMove."""
        before = change.before
        after = in_order(before, change.after)
        after = due_to_tell(before, after, now, owes=replace(change, after=after).applied().owes_telling)
        if after.status is not None:
            check(before.status, after.status)
        first, *more = merges(before, change.findings)
        update, write_id = Update(), new_id()
        if before.version:
            update.require(f"version = {update.value(before.version)}")
        else:
            update.require("attribute_not_exists(pk)")
        if before.written_by is not None and after.changed_at != before.changed_at:
            # Whoever has just told of the verdict before would have told of this one, as far as the item says.
            update.require(f"written_by = {update.value(before.written_by)}")
        if change.unless_due and before.revisit_at is not None:
            # Whoever makes an instance due brings it forward; whoever claims it for work puts it off.
            update.require(f"revisit_at >= {update.value(to_text(before.revisit_at))}")
        for name, value in changed_attributes(before, after).items():
            update.set(name, value)
        update.set("version", before.version + 1)
        update.set("written_by", write_id)
        first.into(update)
        actions = [self._update_action(change.arn, update)]
        actions += puts(self._table, str(change.arn), events_of(change, after, now), now, self.provenance)
        return [Write(actions=actions, write_id=write_id), *(self._merge(change, each) for each in more)]

    def _merge(self, change: Change, merge: Merge) -> Write:
        update = Update()
        update.require(f"version = {update.value(change.before.version + 1)}")
        merge.into(update)
        return Write(actions=[self._update_action(change.arn, update)])

    def _update_action(self, arn: InstanceArn, update: Update) -> dict[str, Any]:
        return {"Update": {"TableName": self._table, "Key": _key(arn), **update.arguments()}}


def _key(arn: InstanceArn) -> dict[str, Any]:
    return {"pk": {"S": str(arn)}, "sk": {"S": CURRENT}}
