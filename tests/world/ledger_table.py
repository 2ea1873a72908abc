"""The ledger's table as the stack makes it, for clouds that keep tables by themselves."""

from __future__ import annotations

from typing import Any

TABLE = "ledger"


def create_table(dynamodb: Any) -> None:
    """The ledger's table with the key schema of the stack."""
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
            {"AttributeName": "revisit_shard", "AttributeType": "N"},
            {"AttributeName": "revisit_at", "AttributeType": "S"},
            {"AttributeName": "enforced_in", "AttributeType": "S"},
            {"AttributeName": "enforced_key", "AttributeType": "S"},
            {"AttributeName": "trail_day", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "due",
                "KeySchema": [
                    {"AttributeName": "revisit_shard", "KeyType": "HASH"},
                    {"AttributeName": "revisit_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
            {
                "IndexName": "enforced",
                "KeySchema": [
                    {"AttributeName": "enforced_in", "KeyType": "HASH"},
                    {"AttributeName": "enforced_key", "KeyType": "RANGE"},
                ],
                "Projection": {
                    "ProjectionType": "INCLUDE",
                    "NonKeyAttributes": ["status", "enforced_at", "restarted_at", "cohort", "undo", "broken_at"],
                },
            },
            {
                "IndexName": "trail",
                "KeySchema": [
                    {"AttributeName": "trail_day", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            },
        ],
    )
