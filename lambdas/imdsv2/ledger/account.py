"""The account items: hourly caps, the circuit breaker, and the time of the guard's last pass.

All functions share these items. Writes use optimistic locking on the version that was read, and are retried on
conflict.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imdsv2.domain.account import Account
from imdsv2.errors import LedgerContended
from imdsv2.ledger.items import account_key, deserialize, pause, put_unless_overtaken, to_text, to_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from imdsv2.domain.instance import Placed

_ACCOUNTS = "accounts"
_ATTEMPTS = 12


class Accounts:
    """The account items. Every method may raise ClientError or LedgerContended."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def of(self, there: Placed) -> Account:
        """The account of an instance or place."""
        return self._read(account_key(there))

    def all(self) -> list[Account]:
        """Every account with at least one enforcement, in the order of the guard's last pass, oldest first."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :accounts",
            "ExpressionAttributeValues": {":accounts": {"S": _ACCOUNTS}},
        }
        found: list[Account] = []
        while True:
            answer = self._dynamodb.query(**request)
            found += [_account(item["sk"]["S"], item) for item in answer["Items"]]
            if not answer.get("LastEvaluatedKey"):
                return sorted(found, key=lambda each: (each.guarded_at is not None, each.guarded_at, each.key))
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def claim(self, account: Account, now: datetime) -> bool:
        """Claim an account for a pass of the guard. False if another invocation has claimed it."""
        unclaimed = "guarded_at = :before" if account.guarded_at else "attribute_not_exists(guarded_at)"
        values = {":now": {"S": to_text(now)}}
        if account.guarded_at:
            values[":before"] = {"S": to_text(account.guarded_at)}
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(account.key),
                UpdateExpression="SET guarded_at = :now ADD version :one",
                ConditionExpression=unclaimed,
                ExpressionAttributeValues={**values, ":one": {"N": "1"}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def reserve(self, there: Placed, wanted: int, cap: int, now: datetime) -> tuple[int, Account]:
        """Reserve cap for enforcements about to begin. Returns how many were granted, and the account after that."""
        granted = 0

        def take(account: Account) -> Account:
            nonlocal granted
            granted = min(wanted, account.room(there.region, cap, now))
            return account.with_enforcements(there.region, granted, now, now) if granted else account

        account = self._change(account_key(there), take)
        return granted, account

    def give_back(self, there: Placed, count: int, reserved_at: datetime, now: datetime) -> None:
        """Return cap that was reserved at ``reserved_at`` and not used."""
        if count:
            self._change(
                account_key(there), lambda account: account.with_enforcements(there.region, -count, reserved_at, now)
            )

    def count_rollbacks(self, account: str, count: int, enforced_that_day: int, now: datetime) -> Account:
        """Record rollbacks in an account; opens its circuit breaker if they reach the thresholds."""
        return self._change(account, lambda known: known.with_rollbacks(count, enforced_that_day, now))

    def close_breaker(self, account: str, closed_by: str) -> Account:
        """Close the circuit breaker on behalf of a person; earlier rollbacks no longer count."""
        return self._change(
            account, lambda known: replace(known, breaker_opened_at=None, rollbacks=(), breaker_closed_by=closed_by)
        )

    def _read(self, key: str) -> Account:
        answer = self._dynamodb.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return _account(key, answer.get("Item", {}))

    def _change(self, key: str, change: Callable[[Account], Account]) -> Account:
        for attempt in range(_ATTEMPTS):
            known = self._read(key)
            changed = change(known)
            if known.version and changed == known:
                return known
            attributes = {
                "enforcements": {
                    region: {to_text(minute): count for minute, count in counts.items()}
                    for region, counts in changed.enforcements.items()
                },
                "last_enforced": {region: to_text(when) for region, when in changed.last_enforced.items()},
                "rollbacks": [to_text(each) for each in changed.rollbacks],
                "breaker_opened_at": to_text(changed.breaker_opened_at) if changed.breaker_opened_at else None,
                "breaker_closed_by": changed.breaker_closed_by,
                "guarded_at": to_text(changed.guarded_at) if changed.guarded_at else None,
            }
            if put_unless_overtaken(self._dynamodb, self._table, _key(key), known.version, attributes):
                return changed
            pause(attempt)
        raise LedgerContended(f"others keep changing account {key} in the ledger; this is tried again")


def _key(account: str) -> dict[str, Any]:
    return {"pk": {"S": _ACCOUNTS}, "sk": {"S": account}}


def _account(key: str, item: Mapping[str, Any]) -> Account:
    values = {name: deserialize(value) for name, value in item.items()}
    return Account(
        key=key,
        version=int(values.get("version", 0)),
        last_enforced={
            region: datetime.fromisoformat(when) for region, when in values.get("last_enforced", {}).items()
        },
        enforcements={
            region: {datetime.fromisoformat(minute): int(count) for minute, count in counts.items()}
            for region, counts in values.get("enforcements", {}).items()
        },
        rollbacks=tuple(map(datetime.fromisoformat, values.get("rollbacks", []))),
        breaker_opened_at=to_time(values.get("breaker_opened_at")),
        breaker_closed_by=values.get("breaker_closed_by"),
        guarded_at=to_time(values.get("guarded_at")),
    )
