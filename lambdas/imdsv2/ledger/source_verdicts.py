"""The verdicts on sources: one item each, of what launches instances and of what findings name beside them, and one event for each
change of the verdict or its reason."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imdsv2.domain.batches import batched
from imdsv2.domain.request import Finding
from imdsv2.ledger.items import CURRENT, is_written, new_id, read_batch, to_text, to_time
from imdsv2.ledger.values import deserialize, serialize
from imdsv2.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

_ITEMS_A_CALL = 100
_CALLS_AT_ONCE = 8
_FINDINGS_KEPT = 50
"""The newest; a launch template has one for each standard and hub."""
_TIMES = ("since", "judged_at", "changed_at", "told_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """What the ledger knows of a source, by its key (`SourceName.key`); ``version`` is 0 if it knows nothing yet.

    Args:
        verdict, reason, explanation: as it was judged last, at ``judged_at``.
        since: when verdict and reason became what they are.
        members, allowing: how many of its instances ran, and how many of these allowed IMDSv1.
        language: in which its first remedy is written, None if it needs none.
        remedy: its remedies in a few words, None likewise.
        findings: those that named it.
        changed_at: since when notes on findings are owed.
        told_verdict, told_owner, told_at: what its owner was told last.
    """

    key: str
    version: int = 0
    verdict: str | None = None
    reason: str | None = None
    explanation: str | None = None
    since: datetime | None = None
    judged_at: datetime | None = None
    members: int = 0
    allowing: int = 0
    language: str | None = None
    remedy: str | None = None
    findings: tuple[Finding, ...] = ()
    changed_at: datetime | None = None
    told_verdict: str | None = None
    told_owner: str | None = None
    told_at: datetime | None = None

    def owed_notes(self) -> list[Finding]:
        """Findings without the note of the present verdict."""
        return [
            each
            for each in self.findings
            if each.annotated_at is None or (self.changed_at is not None and each.annotated_at < self.changed_at)
        ]

    def is_echo(self, finding: Finding) -> bool:
        """Whether this state of the finding, or a newer one, was answered already."""
        known = next((each for each in self.findings if _same(each, finding)), None)
        if known is None or known.updated_at is None or finding.updated_at is None:
            return False
        return finding.updated_at <= known.updated_at

    def with_findings(self, findings: Iterable[Finding]) -> SourceRecord:
        """The record with these findings; of one that is known, the newer state and when it was annotated."""
        kept = list(self.findings)
        for each in findings:
            known = next((one for one in kept if _same(one, each)), None)
            if known is not None:
                kept.remove(known)
                each = replace(_newer(known, each), annotated_at=known.annotated_at)
            kept.append(each)
        return replace(self, findings=tuple(kept[-_FINDINGS_KEPT:]))

    def annotated(self, findings: Iterable[Finding], now: datetime | None) -> SourceRecord:
        """The record after these findings got their note; None: theirs is not that of the present verdict."""
        done = [*findings]
        return replace(
            self,
            findings=tuple(
                replace(each, annotated_at=now) if any(_same(each, one) for one in done) else each
                for each in self.findings
            ),
        )


class SourceVerdicts:
    """The items. Every method may raise ClientError or LedgerContended."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def read(self, keys: Iterable[str]) -> dict[str, SourceRecord]:
        """Read records by key; one that is not in the ledger is returned empty."""
        found = {key: SourceRecord(key=key) for key in keys}
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            for read in pool.map(self._read, batched([*found], _ITEMS_A_CALL)):
                found |= {each.key: each for each in read}
        return found

    def _read(self, keys: Sequence[str]) -> list[SourceRecord]:
        return [_record(item) for item in read_batch(self._dynamodb, self._table, [_key(each) for each in keys])]

    def save(self, changes: Iterable[tuple[SourceRecord, SourceRecord]], now: datetime) -> dict[str, SourceRecord]:
        """Write records, each from what was read to what it shall be. Returns them as they are written; those that somebody else
        has changed since are left out."""
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            saved = pool.map(lambda change: self._save(change[0], change[1], now), changes)
            return {each.key: each for each in saved if each is not None}

    def _save(self, before: SourceRecord, after: SourceRecord, now: datetime) -> SourceRecord | None:
        write_id = new_id()
        written = replace(after, version=before.version + 1)
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if before.version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"N": str(before.version)}},
            }
        item = {**_key(after.key), **_encoded({**_attributes(written), "written_by": write_id})}
        actions: list[Any] = [{"Put": {"TableName": self._table, "Item": item, **condition}}]
        if (before.verdict, before.reason) != (after.verdict, after.reason):
            actions.append({"Put": {"TableName": self._table, "Item": _event(after, now)}})
        try:
            self._dynamodb.transact_write_items(TransactItems=actions, ClientRequestToken=write_id)
        except self._dynamodb.exceptions.TransactionCanceledException:
            return written if is_written(self._dynamodb, self._table, _key(after.key), write_id) else None
        return written


def _key(key: str) -> dict[str, Any]:
    return {"pk": {"S": f"source#{key}"}, "sk": {"S": CURRENT}}


def _event(record: SourceRecord, now: datetime) -> dict[str, Any]:
    said = {
        "verdict": record.verdict,
        "reason": record.reason,
        "explanation": record.explanation,
        "members": record.members,
        "allowing": record.allowing,
        "language": record.language,
        "service_version": VERSION,
    }
    key = {"pk": {"S": f"source#{record.key}"}, "sk": {"S": f"event#{to_text(now)}#{uuid.uuid4().hex[:12]}"}}
    return {**key, **_encoded(said)}


def _attributes(record: SourceRecord) -> dict[str, Any]:
    times = {name: to_text(when) if (when := getattr(record, name)) else None for name in _TIMES}
    return {
        "version": record.version,
        "verdict": record.verdict,
        "reason": record.reason,
        "explanation": record.explanation,
        "members": record.members,
        "allowing": record.allowing,
        "language": record.language,
        "remedy": record.remedy,
        "findings": json.dumps([_finding_row(each) for each in record.findings]) if record.findings else None,
        "told_verdict": record.told_verdict,
        "told_owner": record.told_owner,
        **times,
    }


def _encoded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: serialize(value) for name, value in values.items() if value is not None}


def _record(item: Mapping[str, Any]) -> SourceRecord:
    values = {name: deserialize(value) for name, value in item.items()}
    return SourceRecord(
        key=values["pk"].removeprefix("source#"),
        version=int(values["version"]),
        verdict=values.get("verdict"),
        reason=values.get("reason"),
        explanation=values.get("explanation"),
        members=int(values.get("members", 0)),
        allowing=int(values.get("allowing", 0)),
        language=values.get("language"),
        remedy=values.get("remedy"),
        findings=tuple(map(_finding, json.loads(values.get("findings", "[]")))),
        told_verdict=values.get("told_verdict"),
        told_owner=values.get("told_owner"),
        since=to_time(values.get("since")),
        judged_at=to_time(values.get("judged_at")),
        changed_at=to_time(values.get("changed_at")),
        told_at=to_time(values.get("told_at")),
    )


def _finding_row(finding: Finding) -> list[str | None]:
    times = [to_text(each) if each else None for each in (finding.updated_at, finding.annotated_at)]
    return [finding.id, finding.product_arn, finding.region, *times]


def _finding(row: Sequence[Any]) -> Finding:
    finding_id, product_arn, region, updated_at, annotated_at = row
    return Finding(
        id=finding_id,
        product_arn=product_arn,
        region=region,
        updated_at=to_time(updated_at),
        annotated_at=to_time(annotated_at),
    )


def _newer(known: Finding, other: Finding) -> Finding:
    """The newer state of a finding: events come in any order."""
    is_late = known.updated_at is not None and other.updated_at is not None and other.updated_at < known.updated_at
    return known if is_late else other


def _same(one: Finding, other: Finding) -> bool:
    return (one.id, one.product_arn) == (other.id, other.product_arn)
