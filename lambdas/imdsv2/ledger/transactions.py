"""Batches writes of many instances into few transactions. An instance that cannot be written fails alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, UNANSWERED, describe_error, may_pass
from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import is_written, new_id, pause

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from aws_lambda_powertools import Logger
    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import InstanceArn

_ACTIONS_A_TRANSACTION = 100
_CALLS_AT_ONCE = 4
_TRIES = 8
_TRIES_OF_A_HALF = 2
_REFUSALS = 200
"""Refusals of whole transactions in one run after which nothing is tried again."""
_SILENCES = 4
"""Transactions without an answer in one run after which no other is sent: each takes up to a minute and a half, and an
outage of DynamoDB must not use up the function's time."""
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


@dataclass(frozen=True, slots=True)
class Written:
    """What became of writes. ``overtaken``: the instances whose item has changed since it was read. ``failed``: those
    that could not be written, or of which it is unknown, and why. All others are written."""

    overtaken: frozenset[InstanceArn] = frozenset()
    failed: Mapping[InstanceArn, Exception] = field(default_factory=dict)

    @property
    def lost(self) -> frozenset[InstanceArn]:
        """All that are not known to be written."""
        return self.overtaken | self.failed.keys()

    def of(self, arns: Collection[InstanceArn]) -> Written:
        """What became of some of the instances."""
        failed = {arn: error for arn, error in self.failed.items() if arn in arns}
        return Written(self.overtaken.intersection(arns), failed)

    def logged(self, logger: Logger) -> Written:
        """The same, after the log tells of what failed."""
        for arn, error in self.failed.items():
            logger.error("not written", extra={"target": str(arn), "problem": describe_error(error)})
        return self

    def __or__(self, other: Written) -> Written:
        return Written(self.overtaken | other.overtaken, {**self.failed, **other.failed})


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One instance's writes, which are done together or not at all: items of ``TransactWriteItems``.

    ``write_id``: what the first of them sets as ``written_by``, if it does.
    """

    actions: Sequence[Mapping[str, Any]]
    write_id: str | None = None


class Patience:
    """What the transactions of one run have met so far, on all threads. ``outage``: the error because of which nothing
    more is sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refusals = 0
        self._silences = 0
        self.outage: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be tried again."""
        return self._refusals >= _REFUSALS or self.outage is not None

    def lose(self, error: Exception) -> None:
        """A transaction was refused as a whole, or not answered."""
        with self._lock:
            self._refusals += 1
            self._silences += isinstance(error, UNANSWERED)
            if self._silences >= _SILENCES:
                self.outage = error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """One transaction. ``token``: the same while it is unknown whether DynamoDB has done it, so that it is done once.
    ``tries``: how many are left."""

    writes: Mapping[InstanceArn, Write]
    patience: Patience
    token: str = field(default_factory=new_id)
    tries: int = _TRIES

    def part(self, arns: Sequence[InstanceArn], tries: int) -> _Batch:
        """A new transaction for some of the instances."""
        return _Batch(writes={arn: self.writes[arn] for arn in arns}, patience=self.patience, tries=tries)


@dataclass(frozen=True, slots=True)
class Transactions:
    """Runs transactions. What AWS refuses is returned, not raised."""

    dynamodb: DynamoDBClient

    def run(self, writes: Mapping[InstanceArn, Sequence[Write]], patience: Patience | None = None) -> Written:
        """Run each instance's writes one after the other, many instances per transaction. The first that is lost is the
        last of its instance. ``patience``: that of the run to which these writes belong; without, they are a run of their own."""
        patience = patience or Patience()
        done = Written()
        for number in range(max(map(len, writes.values()), default=0)):
            due = {arn: own[number] for arn, own in writes.items() if number < len(own) and arn not in done.lost}
            done |= self._run(due, patience)
        return done

    def _run(self, writes: Mapping[InstanceArn, Write], patience: Patience) -> Written:
        batches = [_Batch(writes=each, patience=patience) for each in _packed(writes)]
        if len(batches) == 1:  # As most are: a thread of its own would cost as much as the transaction's request.
            return self._commit(batches[0])
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            return reduce(or_, pool.map(self._commit, batches), Written())

    def _commit(self, batch: _Batch) -> Written:
        """Try a transaction. What holds it up is left out of it: the rest goes on at once, what may pass after a pause."""
        if batch.patience.outage is not None:
            return Written(failed=dict.fromkeys(batch.writes, batch.patience.outage))
        owners = [arn for arn, write in batch.writes.items() for _ in write.actions]
        items: Any = [action for write in batch.writes.values() for action in write.actions]
        try:
            self.dynamodb.transact_write_items(TransactItems=items, ClientRequestToken=batch.token)
        except CALL_FAILURES as error:
            blamed = _blamed(error, owners)
            if not blamed:
                batch.patience.lose(error)
                return self._again(batch, error) if may_pass(error) else self._halved(batch, error)
            rest = [arn for arn in batch.writes if arn not in blamed]
            passing = [arn for arn, codes in blamed.items() if codes <= _PASSING]
            done = self._given_up(batch, error, blamed.keys() - set(passing), blamed)
            if rest:
                done |= self._commit(batch.part(rest, _TRIES))
            if passing:
                done |= self._again(batch.part(passing, batch.tries), LedgerContended(_HELD))
            return done
        return Written()

    def _again(self, batch: _Batch, problem: Exception) -> Written:
        if batch.tries <= 1 or batch.patience.is_over:
            return self._halved(batch, problem)
        pause(_TRIES - batch.tries)
        return self._commit(replace(batch, tries=batch.tries - 1))

    def _halved(self, batch: _Batch, problem: Exception) -> Written:
        """Isolate what makes a transaction fail as a whole."""
        arns = list(batch.writes)
        if len(arns) == 1 or batch.patience.is_over:
            return Written(failed=dict.fromkeys(arns, problem))
        halves = (arns[: len(arns) // 2], arns[len(arns) // 2 :])
        return reduce(or_, (self._commit(batch.part(half, _TRIES_OF_A_HALF)) for half in halves))

    def _given_up(
        self,
        batch: _Batch,
        error: Exception,
        arns: Iterable[InstanceArn],
        blamed: Mapping[InstanceArn, set[str]],
    ) -> Written:
        """What no further try helps: overtaken, unless by our own write whose answer was lost, or refused."""
        overtaken: set[InstanceArn] = set()
        failed: dict[InstanceArn, Exception] = {}
        for arn in arns:
            if "ConditionalCheckFailed" not in blamed[arn]:
                failed[arn] = error
                continue
            try:
                if not self._is_own(batch.writes[arn]):
                    overtaken.add(arn)
            except CALL_FAILURES as unread:
                failed[arn] = unread
        return Written(frozenset(overtaken), failed)

    def _is_own(self, write: Write) -> bool:
        if write.write_id is None:
            return False
        (current,) = list(write.actions[0].values())
        key = current["Key"] if "Key" in current else {name: current["Item"][name] for name in ("pk", "sk")}
        return is_written(self.dynamodb, current["TableName"], key, write.write_id)


_HELD = "other writers hold the same ledger items, or DynamoDB throttles them; this is tried again"


def _blamed(error: Exception, owners: Sequence[InstanceArn]) -> dict[InstanceArn, set[str]]:
    """The instances because of which DynamoDB cancelled a transaction, with its codes; none if it does not say so."""
    reasons: Any = error.response.get("CancellationReasons", []) if isinstance(error, ClientError) else []
    blamed: dict[InstanceArn, set[str]] = {}
    for arn, reason in zip(owners, reasons, strict=False):
        if (code := reason.get("Code", "None")) != "None":
            blamed.setdefault(arn, set()).add(code)
    return blamed


def _packed(writes: Mapping[InstanceArn, Write]) -> Iterator[dict[InstanceArn, Write]]:
    batch: dict[InstanceArn, Write] = {}
    size = 0
    for arn, own in writes.items():
        if size + len(own.actions) > _ACTIONS_A_TRANSACTION:
            yield batch
            batch, size = {}, 0
        batch[arn] = own
        size += len(own.actions)
    if batch:
        yield batch
