"""The indexes of the ledger: which instances are due or wait, and which are enforced. They follow the items within a second or so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import InstanceArn
from imdsv2.ledger.items import query_all, to_text
from imdsv2.ledger.record_values import OPEN, OVER
from imdsv2.ledger.serialisation import REVISIT_SHARDS, enforced_from

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.ledger.change import Enforced

DUE_INDEX = "due"
ENFORCED_INDEX = "enforced"


@dataclass(frozen=True, slots=True)
class Indexes:
    """Queries of the indexes. Every method may raise ClientError."""

    dynamodb: DynamoDBClient
    table: str

    def due(self, now: datetime, limit: int) -> dict[InstanceArn, str]:
        """Instances due for evaluation, longest overdue first, each with the ``revisit_at`` that `Ledger.claim` requires."""
        found: list[tuple[str, InstanceArn]] = []
        for shard in range(REVISIT_SHARDS):
            answer = self.dynamodb.query(
                TableName=self.table,
                IndexName=DUE_INDEX,
                KeyConditionExpression="revisit_shard = :shard AND revisit_at <= :now",
                ExpressionAttributeValues={":shard": {"N": str(shard)}, ":now": {"S": to_text(now)}},
                Limit=limit,
            )
            found += [(item["revisit_at"]["S"], InstanceArn.parse(item["pk"]["S"])) for item in answer["Items"]]
        return {arn: revisit_at for revisit_at, arn in sorted(found)[:limit]}

    def waiting(self, account: str | None = None) -> list[InstanceArn]:
        """The instances of an account (``<partition>/<account>``), or of all, that have a revisit time."""
        found: list[InstanceArn] = []
        for shard in range(REVISIT_SHARDS):
            request: dict[str, Any] = {
                "TableName": self.table,
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
            found += [InstanceArn.parse(item["pk"]["S"]) for item in query_all(self.dynamodb, **request)]
        return sorted(found)

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
            "TableName": self.table,
            "IndexName": ENFORCED_INDEX,
            "KeyConditionExpression": "enforced_in = :account AND enforced_key BETWEEN :first AND :last",
            "ExpressionAttributeValues": {":account": {"S": account}, ":first": {"S": first}, ":last": {"S": last}},
        }
        return [enforced_from(item) for item in query_all(self.dynamodb, **request)]
