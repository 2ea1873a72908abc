"""The ledger table in DynamoDB: what the service did and why. Written before EC2 is changed; decides who may act.

One ``current`` item per instance, with optimistic locking on ``version``: a writer with a stale version fails and
evaluates again. Immutable ``event#`` items tell of every change (`trail`). Several instances share a transaction.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

from imdsv2.domain.batches import batched
from imdsv2.errors import IllegalMove
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.findings import merges
from imdsv2.ledger.indexes import Indexes
from imdsv2.ledger.items import read_batch, record_key
from imdsv2.ledger.record import Record
from imdsv2.ledger.record_writes import RecordWrites
from imdsv2.ledger.serialisation import record_from
from imdsv2.ledger.trail import Provenance
from imdsv2.ledger.transactions import Patience, Transactions, Write, Written
from imdsv2.ledger.update import Update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.change import Change, Until
    from imdsv2.ledger.told import Told

_READS_A_CALL = 100
_CALLS_AT_ONCE = 4
_COMPOSED_AT_ONCE = 100
"""A few transactions. What is written of a change takes a dozen kilobytes: those of a whole batch would be more than all else of it."""


class Ledger:
    """The records of instances, and the ``indexes`` that find them. Every method may raise ClientError; the message is then retried.
    ``provenance``: what its events say of the function that writes them."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, provenance: Provenance | None = None) -> None:
        self.provenance = provenance or Provenance()
        self.indexes = Indexes(dynamodb, table)
        self._dynamodb = dynamodb
        self._table = table
        self._transactions = Transactions(dynamodb)
        self._writes = RecordWrites(table, self.provenance)
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
        return [
            record_from(item) for item in read_batch(self._dynamodb, self._table, [record_key(arn) for arn in batch])
        ]

    def write(self, changes: Iterable[Change], now: datetime) -> Written:
        """Write changes conditionally, each for itself: what cannot be written is returned and keeps no other back."""
        written, patience = Written(), Patience()
        for several in batched(changes, _COMPOSED_AT_ONCE):
            written |= self._write(several, now, patience)
        return written

    def _write(self, changes: Iterable[Change], now: datetime, patience: Patience) -> Written:
        writes: dict[InstanceArn, list[Write]] = {}
        refused: dict[InstanceArn, Exception] = {}
        for change in changes:
            try:
                writes[change.arn] = self._writes.of_change(change, now)
            except IllegalMove as error:
                refused[change.arn] = error
        return self._transactions.run(writes, patience) | Written(failed=refused)

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
                TableName=self._table, Key=record_key(record.arn), ReturnValues="ALL_NEW", **update.arguments()
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
        marked = self._transactions.run({arn: self._writes.marks(each, now) for arn, each in told.items()})
        unmarked = self._transactions.run({arn: self._writes.unmarks(told[arn]) for arn in marked.overtaken})
        # Where one has changed once more, whoever changed it tells.
        changed = self.read(marked.overtaken).values() if marked.overtaken else ()
        due_again = self._transactions.run({record.arn: self._writes.due_again(record, now) for record in changed})
        return marked | unmarked | due_again

    def claim(self, due: Mapping[InstanceArn, str], until: Until) -> list[InstanceArn]:
        """Claim due instances for this run, or make them due at their times. Those that were claimed or evaluated in the
        meantime are left out, and those that cannot be written: they stay due. Raises if nothing can be written."""
        claimed = self._transactions.run(
            {
                arn: self._writes.of_claim(arn, due_at, until if isinstance(until, datetime) else until[arn])
                for arn, due_at in due.items()
            }
        )
        if due and claimed.failed.keys() == due.keys():
            raise next(iter(claimed.failed.values()))
        return [arn for arn in due if arn not in claimed.lost]
