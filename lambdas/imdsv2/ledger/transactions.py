"""Batches writes of many instances into few transactions; an instance whose condition fails is left out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import pause

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import InstanceArn

    Actions = Mapping[InstanceArn, list[dict[str, Any]]]
    """The writes of each instance: items of ``TransactWriteItems``, written atomically."""

_ACTIONS_A_TRANSACTION = 100
_CALLS_AT_ONCE = 4
_ATTEMPTS = 8
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


@dataclass(frozen=True, slots=True)
class Transactions:
    """Runs transactions. Raises ClientError, and LedgerContended if conflicts with other writers persist."""

    dynamodb: DynamoDBClient

    def run(self, actions: Actions) -> set[InstanceArn]:
        """Run each instance's writes, many instances per transaction. Returns those whose condition failed."""
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            return {
                arn for lost in pool.map(lambda batch: self._commit(actions, batch), _packed(actions)) for arn in lost
            }

    def _commit(self, actions: Actions, batch: Sequence[InstanceArn]) -> set[InstanceArn]:
        """Run one transaction, retried without the instances whose condition failed; returns these."""
        lost: set[InstanceArn] = set()
        remaining = batch
        for attempt in range(_ATTEMPTS):
            refused, passing = self._try(actions, remaining)
            lost |= refused
            remaining = [arn for arn in remaining if arn not in refused]
            if not remaining or not (refused or passing):
                return lost
            if passing:
                pause(attempt)
        raise LedgerContended("other writers hold the same ledger items; this is tried again")

    def _try(self, actions: Actions, arns: Sequence[InstanceArn]) -> tuple[set[InstanceArn], set[InstanceArn]]:
        """Try one transaction. Returns the instances whose condition failed, and those with a transient conflict or
        throttling; nothing is written unless both are empty."""
        owners = [arn for arn in arns for _ in actions[arn]]
        try:
            items: Any = [action for arn in arns for action in actions[arn]]
            self.dynamodb.transact_write_items(TransactItems=items)
        except self.dynamodb.exceptions.TransactionCanceledException as error:
            codes = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            refused = {arn for arn, code in zip(owners, codes, strict=False) if code == "ConditionalCheckFailed"}
            passing = {arn for arn, code in zip(owners, codes, strict=False) if code in _PASSING}
            if not refused and not passing:
                raise
            return refused, passing
        return set(), set()


def _packed(actions: Actions) -> Iterator[list[InstanceArn]]:
    batch: list[InstanceArn] = []
    size = 0
    for arn, own in actions.items():
        if size + len(own) > _ACTIONS_A_TRANSACTION:
            yield batch
            batch, size = [], 0
        batch.append(arn)
        size += len(own)
    if batch:
        yield batch
