"""What the service did and why, in DynamoDB: written before EC2 is changed, and the only judge of who may act.

One ``current`` item an instance, guarded by ``version``: a writer that has not seen the newest one loses and judges
anew. One ``event#`` item for every change of status, never changed. Several instances share a transaction.
"""

from __future__ import annotations

import hashlib
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.domain.history import History, Hold
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.lifecycle import UNDER_WAY, check
from imdsv2.domain.request import Finding
from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import CURRENT, account_key, deserialize, pause, serialize, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient


FINDINGS_KEPT = 200
REVISIT_SHARDS = 8
DUE_INDEX = "due"
ENFORCED_INDEX = "enforced"

_POLICY_KEY = {"pk": {"S": "policy"}, "sk": {"S": CURRENT}}
_READS_A_CALL = 100
_ACTIONS_A_TRANSACTION = 100
_CALLS_AT_ONCE = 4
_ATTEMPTS = 8
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_EVENT_ATTRIBUTES = (
    "status",
    "decision",
    "reason",
    "explanation",
    "source",
    "request_id",
    "session",
    "caller",
    "approved_by",
    "before",
    "after",
    "error",
)

OPEN, OVER = "open", "done"
"""Whether the guard's watch of an enforced instance goes on. They begin the sort key of the index of what was enforced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The ``current`` item of an instance as it was read; ``version`` 0 where there is none yet."""

    arn: InstanceArn
    version: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    findings: Mapping[str, Finding] = field(default_factory=dict)

    @property
    def status(self) -> str | None:
        return self.attributes.get("status")

    @property
    def history(self) -> History:
        return History(
            enforced_at=self.time("enforced_at"),
            confirmed=bool(self.attributes.get("confirmed", False)),
            rolled_back_at=self.time("rolled_back_at"),
            cleared_at=self.time("cleared_at"),
            hold=_hold(self.attributes.get("hold")),
        )

    @property
    def is_broken(self) -> bool:
        """Whether software broke after the change, and no person has cleared that since."""
        broken_at, cleared_at = self.time("broken_at"), self.time("cleared_at")
        return broken_at is not None and (cleared_at is None or cleared_at < broken_at)

    def cleared(self, now: datetime) -> Entry:
        """The entry as a person who clears it now wants it to be read."""
        return replace(self, attributes={**self.attributes, "cleared_at": to_text(now)})

    @property
    def is_watched(self) -> bool:
        """Whether the guard looks after it."""
        return self.attributes.get("watch") == OPEN

    def time(self, name: str) -> datetime | None:
        text = self.attributes.get(name)
        return datetime.fromisoformat(text) if text else None

    def is_leased(self, now: datetime) -> bool:
        """Whether somebody is between the ledger and EC2, under a lease that is not over: nobody else may touch the instance."""
        lease_until = self.time("lease_until")
        return self.status in UNDER_WAY and lease_until is not None and now < lease_until

    def owed_notes(self) -> dict[str, Finding]:
        """Findings, by key, that do not bear the note of the present verdict."""
        changed_at = self.time("changed_at")
        return {
            key: finding
            for key, finding in self.findings.items()
            if finding.annotated_at is None or (changed_at is not None and finding.annotated_at < changed_at)
        }

    def owes_notification(self) -> bool:
        """Whether people have not been told of the present verdict."""
        changed_at, notified_at = self.time("changed_at"), self.time("notified_at")
        return notified_at is None or (changed_at is not None and notified_at < changed_at)

    def is_echo(self, finding: Finding) -> bool:
        """Whether this very state of the finding has already led to a final verdict."""
        known = self.findings.get(key_of(finding))
        if known is None or known.updated_at is None or finding.updated_at is None:
            return False
        return finding.updated_at <= known.updated_at

    def same_verdict(self, attributes: Mapping[str, Any]) -> bool:
        return all(self.attributes.get(name) == attributes.get(name) for name in ("decision", "reason", "status"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What to write to a ``current`` item: only if nobody else has since ``entry`` was read.

    An attribute of None is removed. ``findings`` are merged into the map one by one, never replacing the others.
    """

    entry: Entry
    attributes: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()

    def applied(self) -> Entry:
        """The entry as it is once this is written."""
        merged = {**self.entry.attributes, **_plain(self.attributes)}
        findings = {**self.entry.findings, **{key_of(finding): finding for finding in self.findings}}
        return replace(
            self.entry,
            version=self.entry.version + 1,
            attributes={name: value for name, value in merged.items() if value is not None},
            findings=findings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """An instance that was enforced, as the index of those knows it; it may be behind by moments.

    ``asked_back``: a person has asked for it to be put back. ``broken``: its software broke.
    """

    arn: InstanceArn
    status: str
    enforced_at: datetime
    restarted_at: datetime | None
    cohort: str | None
    asked_back: bool = False
    broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Whom an entry's verdict has reached: findings by their key in the map, and the people behind the topic."""

    entry: Entry
    annotated: frozenset[str] = frozenset()
    notified: bool = False


def key_of(finding: Finding) -> str:
    """Where a finding stands in the map: ids are too long and too free to be attribute names."""
    return hashlib.sha256(finding.id.encode()).hexdigest()[:32]


class Ledger:
    """The table. Every method may raise ClientError; the message that led to it is then tried again."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def read(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Entry]:
        """Consistently read the current items; an instance without one gets an empty entry."""
        entries = {arn: Entry(arn=arn) for arn in arns}
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            for read in pool.map(self._read, _batches(entries, _READS_A_CALL)):
                entries |= {entry.arn: entry for entry in read}
        return entries

    def _read(self, batch: Iterable[InstanceArn]) -> list[Entry]:
        entries: list[Entry] = []
        wanted: Any = {self._table: {"Keys": [_key(arn) for arn in batch], "ConsistentRead": True}}
        for attempt in range(_ATTEMPTS):
            answer = self._dynamodb.batch_get_item(RequestItems=wanted)
            entries += map(_entry, answer["Responses"].get(self._table, []))
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                return entries
            pause(attempt)
        raise LedgerContended("DynamoDB keeps leaving reads of the ledger undone; they are tried again")

    def write(self, changes: Sequence[Change], now: datetime) -> set[InstanceArn]:
        """Write what nobody has overtaken. Returns the instances whose item has changed since it was read."""
        return self._transact({change.entry.arn: self._actions(change, now) for change in changes})

    def add_finding(self, entry: Entry, finding: Finding) -> Entry | None:
        """Add a finding to an item that somebody else is working on. Returns the item as it is now, or None where it
        has gone."""
        update = _Update()
        self._merge_findings(update, entry, (finding,))
        update.require("attribute_exists(pk)")
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table, Key=_key(entry.arn), ReturnValues="ALL_NEW", **update.arguments()
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return None
            raise
        return _entry(answer["Attributes"])

    def mark_told(self, told: Mapping[InstanceArn, Told], now: datetime) -> None:
        """Note which findings are annotated and whether people know.

        An item that has another verdict by now owes its own note, also where that had been written: ours came later.
        """
        lost = self._transact(self._marks(told, now))
        overwritten = {}
        for arn in lost:
            update = _Update()
            for key in told[arn].annotated:
                update.remove_path(f"findings.{update.name(key)}.annotated_at")
                update.require(f"attribute_exists(findings.{update.name(key)})")
            if told[arn].annotated:
                overwritten[arn] = [self._update_action(arn, update)]
        self._transact(overwritten)

    def _marks(self, told: Mapping[InstanceArn, Told], now: datetime) -> dict[InstanceArn, list[dict[str, Any]]]:
        actions = {}
        for arn, each in told.items():
            update = _Update()
            update.require(f"version = {update.value(each.entry.version)}")
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
        """Instances to judge anew, the longest overdue first, each with the ``revisit_at`` that a claim must still find."""
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
        """Take instances for this run; those that somebody else has taken or judged since are left out."""
        actions = {}
        for arn, revisit_at in due.items():
            update = _Update()
            update.require(f"revisit_at = {update.value(revisit_at)}")
            update.set("revisit_at", to_text(until))
            actions[arn] = [self._update_action(arn, update)]
        lost = self._transact(actions)
        return [arn for arn in due if arn not in lost]

    def watched(self, account: str) -> list[Enforced]:
        """What the guard has to look after in an account (``<partition>/<account>``)."""
        return self._enforced(account, f"{OPEN}#", f"{OPEN}#~")

    def enforced_since(self, account: str, since: datetime) -> list[Enforced]:
        """What was enforced in an account (``<partition>/<account>``) since a time, still watched or not."""
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
        return [_enforced(item) for item in self._all(request)]

    def waiting(self, account: str) -> list[InstanceArn]:
        """Instances of an account (``<partition>/<account>``) that are to be judged anew some time."""
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
        """Remember the last policy that was understood."""
        item = {**_POLICY_KEY, "document": {"S": document}, "read_at": {"S": to_text(now)}}
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def last_good_policy(self) -> tuple[str, datetime] | None:
        """The last policy that was understood, and when it was read."""
        item = self._dynamodb.get_item(TableName=self._table, Key=_POLICY_KEY, ConsistentRead=True).get("Item")
        return (item["document"]["S"], datetime.fromisoformat(item["read_at"]["S"])) if item else None

    def _actions(self, change: Change, now: datetime) -> list[dict[str, Any]]:
        entry, attributes = change.entry, _plain(change.attributes)
        update = _Update()
        if entry.version:
            update.require(f"version = {update.value(entry.version)}")
        else:
            update.require("attribute_not_exists(pk)")
        for name, value in attributes.items():
            update.set(name, value)
        update.set("version", entry.version + 1)
        if "revisit_at" in attributes:
            update.set("revisit_shard", _shard(entry.arn) if attributes["revisit_at"] else None)
        if "watch" in attributes:
            enforced_at = change.applied().attributes.get("enforced_at")
            update.set("enforced_in", account_key(entry.arn))
            update.set("enforced_key", f"{attributes['watch']}#{enforced_at}" if enforced_at else None)
        self._merge_findings(update, entry, change.findings)
        actions = [self._update_action(entry.arn, update)]
        status = attributes.get("status")
        if status is not None and status != entry.status:
            check(entry.status, status)
            actions.append(self._event(entry.arn, attributes, now))
        return actions

    def _update_action(self, arn: InstanceArn, update: _Update) -> dict[str, Any]:
        return {"Update": {"TableName": self._table, "Key": _key(arn), **update.arguments()}}

    def _event(self, arn: InstanceArn, attributes: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        item = {name: attributes[name] for name in _EVENT_ATTRIBUTES if attributes.get(name) is not None}
        item |= {"pk": str(arn), "sk": f"event#{to_text(now)}#{uuid.uuid4().hex[:12]}"}
        encoded = {name: serialize(value) for name, value in item.items()}
        return {"Put": {"TableName": self._table, "Item": encoded, "ConditionExpression": "attribute_not_exists(pk)"}}

    def _merge_findings(self, update: _Update, entry: Entry, findings: Sequence[Finding]) -> None:
        merged = {**entry.findings, **{key_of(finding): finding for finding in findings}}
        kept = set(sorted(merged, key=lambda key: _age(merged[key]), reverse=True)[:FINDINGS_KEPT])
        new = {key: _finding_item(finding) for finding in findings if (key := key_of(finding)) in kept}
        if not entry.version:
            update.set("findings", new)
            return
        for key, item in new.items():
            update.set_path(f"findings.{update.name(key)}", item)
        for key in entry.findings.keys() - kept:
            update.remove_path(f"findings.{update.name(key)}")

    def _transact(self, actions: Mapping[InstanceArn, list[dict[str, Any]]]) -> set[InstanceArn]:
        """Run each instance's actions, many instances to a transaction. Returns those whose condition did not hold."""
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            return {
                arn for lost in pool.map(lambda batch: self._commit(actions, batch), _packed(actions)) for arn in lost
            }

    def _commit(
        self, actions: Mapping[InstanceArn, list[dict[str, Any]]], batch: Sequence[InstanceArn]
    ) -> set[InstanceArn]:
        """One transaction, tried again without those that others have overtaken; these are returned."""
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

    def _try(
        self, actions: Mapping[InstanceArn, list[dict[str, Any]]], arns: Sequence[InstanceArn]
    ) -> tuple[set[InstanceArn], set[InstanceArn]]:
        """One transaction. Returns the instances whose condition did not hold, and those that only met another writer;
        nothing is written unless both are empty."""
        owners = [arn for arn in arns for _ in actions[arn]]
        try:
            items: Any = [action for arn in arns for action in actions[arn]]
            self._dynamodb.transact_write_items(TransactItems=items)
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            codes = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            refused = {arn for arn, code in zip(owners, codes, strict=False) if code == "ConditionalCheckFailed"}
            passing = {arn for arn, code in zip(owners, codes, strict=False) if code in _PASSING}
            if not refused and not passing:
                raise
            return refused, passing
        return set(), set()


class _Update:
    """Collects one update expression, with placeholders for every name and value."""

    def __init__(self) -> None:
        self._sets: list[str] = []
        self._removes: list[str] = []
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, name: str) -> str:
        return self._names.setdefault(name, f"#n{len(self._names)}")

    def value(self, value: object) -> str:
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = serialize(value)
        return placeholder

    def set(self, name: str, value: object) -> None:
        if value is None:
            self.remove_path(self.name(name))
        else:
            self.set_path(self.name(name), value)

    def set_path(self, path: str, value: object) -> None:
        self._sets.append(f"{path} = {self.value(value)}")

    def remove_path(self, path: str) -> None:
        self._removes.append(path)

    def require(self, condition: str) -> None:
        self._conditions.append(condition)

    def arguments(self) -> dict[str, Any]:
        clauses = []
        if self._sets:
            clauses.append("SET " + ", ".join(self._sets))
        if self._removes:
            clauses.append("REMOVE " + ", ".join(self._removes))
        arguments = {
            "UpdateExpression": " ".join(clauses),
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": {placeholder: name for name, placeholder in self._names.items()},
            "ExpressionAttributeValues": self._values,
        }
        return {name: value for name, value in arguments.items() if value}


def _key(arn: InstanceArn) -> dict[str, Any]:
    return {"pk": {"S": str(arn)}, "sk": {"S": CURRENT}}


def _shard(arn: InstanceArn) -> int:
    return zlib.crc32(arn.instance_id.encode()) % REVISIT_SHARDS


def _entry(item: Mapping[str, Any]) -> Entry:
    attributes = {name: deserialize(value) for name, value in item.items()}
    findings = {key: _finding(each) for key, each in attributes.pop("findings", {}).items()}
    return Entry(
        arn=InstanceArn.parse(attributes.pop("pk")),
        version=int(attributes.pop("version")),
        attributes=attributes,
        findings=findings,
    )


def _enforced(item: Mapping[str, Any]) -> Enforced:
    values = {name: deserialize(value) for name, value in item.items()}
    restarted_at = values.get("restarted_at")
    return Enforced(
        arn=InstanceArn.parse(values["pk"]),
        status=values["status"],
        enforced_at=datetime.fromisoformat(values["enforced_at"]),
        restarted_at=datetime.fromisoformat(restarted_at) if restarted_at else None,
        cohort=values.get("cohort"),
        asked_back="undo" in values,
        broken="broken_at" in values,
    )


def _hold(item: Mapping[str, Any] | None) -> Hold | None:
    if item is None:
        return None
    return Hold(owner=item["owner"], reason=item["reason"], until=date.fromisoformat(item["until"]))


def _finding(item: Mapping[str, Any]) -> Finding:
    times = {name: datetime.fromisoformat(item[name]) for name in ("updated_at", "annotated_at") if item.get(name)}
    return Finding(id=item["id"], product_arn=item["product_arn"], region=item["region"], **times)


def _age(finding: Finding) -> datetime:
    """Its place among the newest; one that is not answered yet comes first."""
    return finding.updated_at or datetime.max.replace(tzinfo=UTC)


def _finding_item(finding: Finding) -> dict[str, Any]:
    return _plain(
        {
            "id": finding.id,
            "product_arn": finding.product_arn,
            "region": finding.region,
            "updated_at": finding.updated_at,
            "annotated_at": finding.annotated_at,
        }
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: object) -> Any:
    match value:
        case datetime():
            return to_text(value)
        case float():
            return Decimal(str(round(value, 4)))
        case dict():
            return _plain(value)
        case _:
            return value


def _batches(items: Iterable[InstanceArn], size: int) -> Iterator[list[InstanceArn]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def _packed(actions: Mapping[InstanceArn, list[dict[str, Any]]]) -> Iterator[list[InstanceArn]]:
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
